"""One at a time becomes many at once: whoever asks while a batch is being worked on is in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Batcher(Generic[A, B]):
    """Calls ``work`` in a thread, with at most ``most`` items; nobody waits for company."""

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B]], most: int) -> None:
        self._work, self._most = work, most
        self._waiting: deque[tuple[A, asyncio.Future[B]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: A) -> B:
        """The outcome for one item.

        Raises:
            Exception: what ``work`` raised on this item; others of its batch are tried without it.
        """
        future: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            await self._settle([one for one in batch if not one[1].done()])  # else nobody waits any more

    async def _settle(self, batch: list[tuple[A, asyncio.Future[B]]]) -> None:
        if not batch:
            return
        try:
            outcomes = await asyncio.to_thread(self._work, [item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                _tell(batch[0][1], error)
                return
            for one in batch:
                await self._settle([one])
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _tell(future: asyncio.Future[B], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
