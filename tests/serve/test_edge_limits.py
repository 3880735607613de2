"""Places and tokens of callers, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from serve.admission import AdmissionController
from serve.errors import ApiError
from serve.keys import Caller


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def refused(gate: AdmissionController, caller: Caller) -> tuple[int, str]:
    with pytest.raises(ApiError) as error:
        gate.take(caller)
    return error.value.status, error.value.headers["retry-after"]


def test_a_minute_s_requests_come_back_evenly() -> None:
    clock = Clock()
    gate, ada = AdmissionController(10, clock), Caller("ada", requests_per_minute=3)
    for _ in range(3):
        gate.take(ada).release()
    assert refused(gate, ada) == (429, "20")
    clock.now += 12
    assert refused(gate, ada) == (429, "8")  # having been refused costs nothing
    clock.now += 8
    gate.take(ada).release()
    assert refused(gate, ada) == (429, "20")
    clock.now += 3_600
    for _ in range(3):  # no more than a minute's are saved up
        gate.take(ada).release()
    assert refused(gate, ada)[0] == 429


def test_callers_do_not_share() -> None:
    gate = AdmissionController(10, Clock())
    ada, bob, eve = Caller("ada", 1, 1), Caller("bob", 1, 1), Caller("eve")
    places = [gate.take(ada), gate.take(bob), gate.take(eve), gate.take(eve)]
    assert gate.open == 4
    assert refused(gate, ada) == (429, "1")
    for place in places:
        place.release()
        place.release()
    assert gate.open == 0


def test_places_of_a_caller_are_freed_whatever_happens() -> None:
    gate, ada = AdmissionController(10), Caller("ada", concurrent=2)

    async def fail() -> None:
        async with gate.enter(ada), gate.enter(ada):
            assert refused(gate, ada) == (429, "1")
            raise KeyError

    async def be_cancelled() -> None:
        async with gate.enter(ada):
            await asyncio.sleep(60)

    async def both() -> None:
        with pytest.raises(KeyError):
            await fail()
        task = asyncio.create_task(be_cancelled())
        await asyncio.sleep(0)
        assert gate.open == 1
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(both())
    assert gate.open == 0
    gate.take(ada).release()


def test_all_places_taken_is_503_and_costs_the_caller_nothing() -> None:
    gate, ada = AdmissionController(1, Clock()), Caller("ada", requests_per_minute=1)
    place = gate.take(Caller("bob"))
    assert refused(gate, ada) == (503, "1")
    place.release()
    gate.take(ada)
