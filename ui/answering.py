"""Answers on their way: one or two at once, that a person can stop, and that end when he leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ui.api import ApiError, Delta, Done

Stream = Callable[[], AsyncGenerator[Delta | Done, None]]
Work = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
"""Something that says each time that it has changed something."""
PAUSE = 0.04
"""Seconds between two updates of the page; the first word does not wait."""


@dataclass
class Answering:
    """One answer, as far as it has come."""

    stream: Stream
    text: str = ""
    done: Done | None = None
    error: ApiError | None = None
    stopped: bool = False
    progress: str = ""
    """What is being done, where the text alone does not show it."""

    @property
    def seen(self) -> dict[str, Any] | None:
        """What is kept beside the text."""
        if self.done is None:
            return None
        done = self.done
        return {
            "llink": done.llink,
            "usage": done.usage,
            "first_token": done.first_token,
            "tokens_per_second": done.tokens_per_second,
            "finish_reason": done.finish_reason,
        }

    async def run(self, changed: Callable[[], None]) -> None:
        """Follow the stream to its end; never raises but when cancelled, which closes the stream."""
        try:
            async with aclosing(self.stream()) as events:
                async for event in events:
                    if isinstance(event, Done):
                        self.done, self.text = event, event.text or self.text
                    else:
                        self.text += event.text
                    changed()
        except ApiError as error:
            self.error = error
        except asyncio.CancelledError:
            self.stopped = True
            raise
        finally:
            changed()


class Live:
    """What is on its way on one open page: it begins at once, and ends when this is left."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._changed = asyncio.Event()
        self._tasks = [asyncio.ensure_future(work(self._changed.set)) for work in works]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._changed.set())

    def stop(self) -> None:
        """End it; what arrived stays."""
        for task in self._tasks:
            task.cancel()

    async def changes(self) -> AsyncGenerator[None, None]:
        """Say each time that something changed, until all is done."""
        while not all(task.done() for task in self._tasks):
            await self._changed.wait()
            self._changed.clear()
            yield
            await asyncio.sleep(PAUSE)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def end(self) -> None:
        """Let nothing go on."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
