"""How much at once and a minute: a bucket of tokens and a count for each caller, and a bound for all."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from serve.errors import ApiError
from serve.keys import Caller


@dataclass
class _Account:
    """What a caller has used."""

    tokens: float
    at: float
    """When ``tokens`` was right."""
    open: int = 0


@dataclass(eq=False)
class Permit:
    """A place among the requests that run; given back once, however often it is released."""

    _gate: AdmissionController = field(repr=False)
    caller: Caller
    _held: bool = True

    def release(self) -> None:
        """Give the place back."""
        if self._held:
            self._held = False
            self._gate._leave(self.caller)


class AdmissionController:
    """Lets requests of this replica in; for one event loop."""

    def __init__(self, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = in_flight, clock
        self._accounts: dict[str, _Account] = {}
        self.open = 0
        """Requests that run."""

    def take(self, caller: Caller) -> Permit:
        """A place, to be released when the request has ended, a stream's end included.

        A caller may use a whole minute's requests at once; they come back evenly over the minute.

        Raises:
            ApiError: 429 with the seconds to wait, or 503 where all places are taken. Neither counts as used.
        """
        if self.open >= self._most:
            raise ApiError.overloaded(f"{self._most} requests are being answered: ask again later")
        account = self._account(caller)
        if caller.concurrent is not None and account.open >= caller.concurrent:
            raise ApiError.rate_limited(
                f"{account.open} requests of the key {caller.name!r} are being answered, and "
                f"{caller.concurrent} are allowed at once: wait for one of them"
            )
        if caller.requests_per_minute is not None:
            if account.tokens < 1:
                wait = (1 - account.tokens) * 60 / caller.requests_per_minute
                raise ApiError.rate_limited(
                    f"the key {caller.name!r} may ask {caller.requests_per_minute} times a minute: wait",
                    wait,
                )
            account.tokens -= 1
        account.open += 1
        self.open += 1
        return Permit(self, caller)

    @asynccontextmanager
    async def enter(self, caller: Caller) -> AsyncIterator[Permit]:
        """``take``, for as long as the block lasts.

        Raises:
            ApiError: as ``take``.
        """
        held = self.take(caller)
        try:
            yield held
        finally:
            held.release()

    def _account(self, caller: Caller) -> _Account:
        """The caller's account with what came back since; callers are keys, so there are few."""
        now, most = self._clock(), float(caller.requests_per_minute or 0)
        account = self._accounts.setdefault(caller.name, _Account(most, now))
        account.tokens = min(most, account.tokens + (now - account.at) * most / 60)
        account.at = now
        return account

    def _leave(self, caller: Caller) -> None:
        self._accounts[caller.name].open -= 1
        self.open -= 1
