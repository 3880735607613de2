"""The caller's side of one request: its events, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator

from llink_ray.engine.types import Answer, FinishInfo, StreamEvent, TokenLogprob

Listener = Callable[[StreamEvent], None]
"""Called in the engine's thread: pass the event on and return. If it raises, its request is cancelled."""


class RequestHandle:
    """Iterate it once (``for`` or ``async for``), or take the whole answer (``result`` or ``await wait()``).

    Leaving the iteration before its end cancels the request. With a listener, events go there instead.
    """

    def __init__(
        self, listener: Listener | None = None, on_cancel: Callable[[], object] | None = None
    ) -> None:
        self._events: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()
        self._listener = listener or self._events.put
        self._on_cancel = on_cancel
        self._wake: Callable[[], object] | None = None
        self._wake_at_end: Callable[[], object] | None = None
        self._cancelled = threading.Event()
        self.finish: FinishInfo | None = None
        """The end, once it has come."""

    def cancel(self) -> None:
        """End the request before its next token; no effect once it has ended."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            if self._on_cancel is not None and self.finish is None:
                self._on_cancel()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._cancelled.is_set()

    def publish(self, event: StreamEvent) -> None:
        """Deliver an event; for engines, from one thread. Never raises."""
        try:
            self._listener(event)
        except Exception:
            self.cancel()
        self.finish = event.finish
        wake = self._wake if event.finish is None else self._wake_at_end
        try:
            if wake is not None:
                wake()
        except RuntimeError:  # the event loop of the one who waited is closed
            self.cancel()

    def __iter__(self) -> Iterator[StreamEvent]:
        return self.events()

    def events(self, timeout: float | None = None) -> Iterator[StreamEvent]:
        """All events, the one with ``finish`` last.

        Raises:
            TimeoutError: nothing came for ``timeout`` seconds; the request is cancelled.
        """
        event = StreamEvent()
        try:
            while event.finish is None:
                try:
                    event = self._events.get(timeout=timeout)
                except queue.Empty:
                    raise TimeoutError(f"no token came for {timeout} seconds") from None
                yield event
        finally:
            if event.finish is None:
                self.cancel()

    async def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        self._wake = self._wake_at_end = lambda: loop.call_soon_threadsafe(ready.set)
        event = StreamEvent()
        try:
            while event.finish is None:
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    await ready.wait()
                    ready.clear()
                    continue
                yield event
        finally:
            self._wake = self._wake_at_end = None
            if event.finish is None:
                self.cancel()

    async def wait(self) -> Answer:
        """The whole answer; the event loop is woken once, at the end. Leaving early cancels the request."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._wake_at_end = lambda: loop.call_soon_threadsafe(ended.set)
        try:
            if self.finish is None:
                await ended.wait()
            return self.result(timeout=0)
        finally:
            self._wake_at_end = None
            self.cancel()

    def result(self, timeout: float | None = None) -> Answer:
        """The whole answer; a request that failed says so in ``finish``.

        Raises:
            TimeoutError: nothing came for ``timeout`` seconds; the request is cancelled.
        """
        text, tokens, finish = "", list[TokenLogprob](), None
        for event in self.events(timeout):
            text += event.text
            tokens += event.tokens
            finish = event.finish
        assert finish is not None, "the last event has the end"
        return Answer(text, tuple(tokens), finish)
