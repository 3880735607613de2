"""Answers that are being streamed: one or two at once, which can be stopped and end when the page is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ui.api_client import ApiError, Completion, TextDelta

Stream = Callable[[], AsyncGenerator[TextDelta | Completion, None]]
Work = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
"""A coroutine function that calls its argument after each change."""
UPDATE_SECONDS = 0.04
"""Between two updates of the page; the first is immediate."""


@dataclass
class RunningAnswer:
    """One answer as far as it has arrived."""

    stream: Stream
    text: str = ""
    completion: Completion | None = None
    error: ApiError | None = None
    stopped: bool = False

    @property
    def metadata(self) -> dict[str, Any] | None:
        """What a message keeps beside the text."""
        if self.completion is None:
            return None
        fields = ("llink", "usage", "first_token", "tokens_per_second", "finish_reason")
        return {name: getattr(self.completion, name) for name in fields}

    async def run(self, notify: Callable[[], None]) -> None:
        """Read the stream to its end. Raises only when cancelled, which closes the stream."""
        try:
            async with aclosing(self.stream()) as events:
                async for event in events:
                    if isinstance(event, Completion):
                        self.completion, self.text = event, event.text or self.text
                    else:
                        self.text += event.text
                    notify()
        except ApiError as error:
            self.error = error
        except asyncio.CancelledError:
            self.stopped = True
            raise
        finally:
            notify()


class RunningTasks:
    """The tasks of one open page, started at once."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._changed = asyncio.Event()
        self._tasks = [asyncio.ensure_future(work(self._changed.set)) for work in works]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._changed.set())

    def stop(self) -> None:
        """Cancel them; what has arrived stays."""
        for task in self._tasks:
            task.cancel()

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield after changes until all tasks are done.

        Raises:
            Exception: what a task raised.
        """
        while not all(task.done() for task in self._tasks):
            await self._changed.wait()
            self._changed.clear()
            yield
            await asyncio.sleep(UPDATE_SECONDS)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def close(self) -> None:
        """Cancel the tasks and wait for their end."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
