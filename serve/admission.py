"""Rate limits: a token bucket and a number of concurrent requests for each caller, and a bound for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from serve.errors import ApiError
from serve.keys import Caller


@dataclass
class _Usage:
    tokens: float
    updated: float
    """When ``tokens`` was computed."""
    open: int = 0


class Permit:
    """Admission of one request; releasing it twice does no harm."""

    def __init__(self, controller: AdmissionController, caller: Caller) -> None:
        self._controller, self._caller, self._released = controller, caller, False

    def release(self) -> None:
        """The request has ended."""
        if not self._released:
            self._released = True
            self._controller._release(self._caller)


class AdmissionController:
    """Admits requests of this replica; for one event loop."""

    def __init__(self, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = in_flight, clock
        self._usage: dict[str, _Usage] = {}
        self.open = 0
        """Requests under way."""

    def admit(self, caller: Caller) -> Permit:
        """A permit, to be released when the request and its stream have ended.

        A caller may use a whole minute's requests at once; the bucket refills evenly over the minute.

        Raises:
            ApiError: 429 with the seconds to wait, or 503 where all together are too many. Neither uses up a
                request.
        """
        if self.open >= self._limit:
            raise ApiError(503, f"{self._limit} requests are being answered: ask again later")
        usage = self._refilled(caller)
        if caller.concurrent is not None and usage.open >= caller.concurrent:
            raise ApiError(
                429,
                f"{usage.open} requests of the key {caller.name!r} are being answered, and "
                f"{caller.concurrent} are allowed at once: wait for one of them",
            )
        if caller.requests_per_minute is not None:
            if usage.tokens < 1:
                raise ApiError(
                    429,
                    f"the key {caller.name!r} may ask {caller.requests_per_minute} times a minute: wait",
                    retry_after=(1 - usage.tokens) * 60 / caller.requests_per_minute,
                )
            usage.tokens -= 1
        usage.open += 1
        self.open += 1
        return Permit(self, caller)

    def _refilled(self, caller: Caller) -> _Usage:
        """Callers are keys, so there are few."""
        now, capacity = self._clock(), float(caller.requests_per_minute or 0)
        usage = self._usage.setdefault(caller.name, _Usage(capacity, now))
        usage.tokens = min(capacity, usage.tokens + (now - usage.updated) * capacity / 60)
        usage.updated = now
        return usage

    def _release(self, caller: Caller) -> None:
        self._usage[caller.name].open -= 1
        self.open -= 1
