"""What is under way when the service is told to stop: it has some time left, and hears when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.errors import ApiError

_LOOK = 0.05
_TOLD = 1.0
"""Seconds behind the grace in which refusals and last events are sent."""


class GracefulShutdown:
    """Bounds of everything that is waited for, in one event loop."""

    def __init__(self) -> None:
        self.open = 0
        """Requests under way."""
        self._ends: float | None = None
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def begun(self) -> bool:
        """Whether the service was told to stop."""
        return self._ends is not None

    @asynccontextmanager
    async def within(self, seconds: float, late: ApiError) -> AsyncIterator[None]:
        """A block that may take so long, and no longer than the service goes on.

        Raises:
            ApiError: ``late`` after the seconds, 503 where the service stops.
        """
        ends = asyncio.get_running_loop().time() + seconds
        if self._ends is not None:
            ends = min(ends, self._ends)
        try:
            async with asyncio.timeout_at(ends) as waiting:
                self._waiting.add(waiting)
                try:
                    yield
                finally:
                    self._waiting.discard(waiting)
        except TimeoutError:
            over = self._ends is not None and asyncio.get_running_loop().time() >= self._ends
            raise ApiError.stopping() if over else late from None

    async def drain(self, seconds: float) -> None:
        """Refuse what comes, end in so many seconds what has begun, and return when all has ended."""
        loop = asyncio.get_running_loop()
        self._ends = loop.time() + seconds
        for waiting in self._waiting:
            when = waiting.when()
            if when is None or when > self._ends:
                waiting.reschedule(self._ends)
        while self.open and loop.time() < self._ends + _TOLD:
            await asyncio.sleep(_LOOK)
