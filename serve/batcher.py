"""Dynamic batching: requests that come while a batch is processed are the next batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Batcher(Generic[A, B]):
    """Calls ``process`` in a thread with up to ``max_batch_size`` items, without waiting for more to come."""

    def __init__(self, process: Callable[[Sequence[A]], Sequence[B]], max_batch_size: int) -> None:
        self._process, self._max_batch_size = process, max_batch_size
        self._queue: deque[tuple[A, asyncio.Future[B]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: A) -> B:
        """The result for one item.

        Raises:
            Exception: what ``process`` raised for this item; the others of its batch are tried one by one.
        """
        future: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._max_batch_size, len(self._queue)))]
            await self._resolve([entry for entry in batch if not entry[1].done()])  # done: cancelled

    async def _resolve(self, batch: list[tuple[A, asyncio.Future[B]]]) -> None:
        if not batch:
            return
        try:
            results = await asyncio.to_thread(self._process, [item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                for entry in batch:
                    await self._resolve([entry])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
