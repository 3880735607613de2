"""Graceful shutdown: requests under way get some time, then are told that the service stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.errors import ApiError

_POLL_SECONDS = 0.05
_LAST_EVENTS_SECONDS = 1.0
"""Time after the grace period in which refusals and last events are sent."""


class GracefulShutdown:
    """Deadlines of everything that is under way in one event loop."""

    def __init__(self) -> None:
        self.in_flight = 0
        """Requests under way."""
        self._deadline: float | None = None
        self._timeouts: set[asyncio.Timeout] = set()

    @property
    def started(self) -> bool:
        """Whether the service was told to stop."""
        return self._deadline is not None

    @asynccontextmanager
    async def timeout(self, seconds: float, error: ApiError) -> AsyncIterator[None]:
        """A block with a deadline, which the shutdown brings forward.

        Raises:
            ApiError: ``error`` after ``seconds``, 503 where the service stops.
        """
        end = asyncio.get_running_loop().time() + seconds
        if self._deadline is not None:
            end = min(end, self._deadline)
        try:
            async with asyncio.timeout_at(end) as timeout:
                self._timeouts.add(timeout)
                try:
                    yield
                finally:
                    self._timeouts.discard(timeout)
        except TimeoutError:
            stopped = self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline
            raise ApiError.stopping() if stopped else error from None

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new requests, end those under way in time, and return when all have ended."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + grace_seconds
        for timeout in self._timeouts:
            end = timeout.when()
            if end is None or end > self._deadline:
                timeout.reschedule(self._deadline)
        while self.in_flight and loop.time() < self._deadline + _LAST_EVENTS_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
