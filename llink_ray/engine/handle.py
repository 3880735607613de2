"""What ``submit`` gives back: the events of one request, to be waited for in a thread or in asyncio."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator

from llink_ray.engine.types import Answer, FinishInfo, StreamEvent, TokenLogprob

Listener = Callable[[StreamEvent], None]
"""Called in the engine's thread: hand the event on and return; one that raises cancels its request."""


class RequestHandle:
    """Iterate it (``for`` or ``async for``), once, or ask for the whole ``result``.

    Leaving the iteration before its end cancels the request. With a listener the events go there instead.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._events: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()
        self._listener = listener or self._events.put
        self._wake: Callable[[], object] | None = None
        self._cancelled = threading.Event()
        self.finish: FinishInfo | None = None
        """The end, once it has come."""

    def cancel(self) -> None:
        """End the request; its row is free before the next token. A no-op once it has ended."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled."""
        return self._cancelled.is_set()

    def publish(self, event: StreamEvent) -> None:
        """The engine's side. Never raises."""
        self.finish = event.finish
        try:
            self._listener(event)
            wake = self._wake
            if wake is not None:
                wake()
        except Exception:
            self.cancel()  # nobody listens any more, for instance because the loop was closed

    def __iter__(self) -> Iterator[StreamEvent]:
        return self.events()

    def events(self, timeout: float | None = None) -> Iterator[StreamEvent]:
        """All events, the one with ``done`` last.

        Raises:
            TimeoutError: nothing came for ``timeout`` seconds; the request is cancelled.
        """
        ended = False
        try:
            while not ended:
                try:
                    event = self._events.get(timeout=timeout)
                except queue.Empty:
                    raise TimeoutError(f"no token came for {timeout} seconds") from None
                ended = event.finish is not None
                yield event
        finally:
            if not ended:
                self.cancel()

    async def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(ready.set)
        ended = False
        try:
            while not ended:
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    await ready.wait()
                    ready.clear()
                    continue
                ended = event.finish is not None
                yield event
        finally:
            self._wake = None
            if not ended:
                self.cancel()

    def result(self, timeout: float | None = None) -> Answer:
        """Everything at once; a request that failed says so in ``done``.

        Raises:
            TimeoutError: nothing came for ``timeout`` seconds; the request is cancelled.
        """
        text, tokens, done = "", list[TokenLogprob](), None
        for event in self.events(timeout):
            text += event.text
            tokens += event.tokens
            done = event.finish
        assert done is not None, "the last event is the end"
        return Answer(text, tuple(tokens), done)
