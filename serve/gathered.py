"""Reads of many requests in one call: whoever asks while a call is under way goes with the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from serve.values import BundleRef, Read

Wanted = Sequence[tuple[BundleRef, str]]
_Waiting = tuple[Wanted, "asyncio.Future[Read]"]


class Gathered:
    """Calls ``read`` with at most ``most`` texts of several requests; nobody waits for company.

    A call of another process costs milliseconds of both, however little is asked. ``lanes`` calls may be
    under way together, so that several replicas have something to do.
    """

    def __init__(self, read: Callable[[Wanted], Awaitable[Read]], lanes: int = 2, most: int = 64) -> None:
        self._read, self._lanes, self._most = read, lanes, most
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0

    async def __call__(self, wanted: Wanted) -> Read:
        """The slots of a request's texts.

        Raises:
            LlinkError: as ``read`` does for these texts; others that went along are asked for again.
        """
        future: asyncio.Future[Read] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if self._busy < self._lanes:
            self._busy += 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)  # else nothing holds it
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self) -> None:
        try:
            while batch := self._taken():
                await self._settle(batch)
        finally:
            self._busy -= 1

    def _taken(self) -> list[_Waiting]:
        """The next ones, the first of them in any case."""
        batch: list[_Waiting] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0][0]) <= self._most):
            wanted, future = self._waiting.pop(0)
            if not future.done():  # else whoever asked has gone
                batch.append((wanted, future))
                count += len(wanted)
        return batch

    async def _settle(self, batch: list[_Waiting]) -> None:
        try:
            found = await self._read([one for wanted, _ in batch for one in wanted])
        except Exception as error:
            if len(batch) == 1:
                _tell(batch[0][1], error)
                return
            for one in batch:
                await self._settle([one])
            return
        start = 0
        for wanted, future in batch:
            end = start + len(wanted)
            if not future.done():
                known = found.known[start:end]
                future.set_result(Read(found.slots[start:end], known))
            start = end


def _tell(future: asyncio.Future[Read], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
