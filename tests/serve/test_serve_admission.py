"""Permits and rate limits of callers, on a clock that the test moves."""

from __future__ import annotations

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


def refused(controller: AdmissionController, caller: Caller) -> tuple[int, str]:
    with pytest.raises(ApiError) as error:
        controller.admit(caller)
    return error.value.status, error.value.headers["retry-after"]


def test_a_minute_s_requests_come_back_evenly() -> None:
    clock = Clock()
    controller, ada = AdmissionController(10, clock), Caller("ada", requests_per_minute=3)
    for _ in range(3):
        controller.admit(ada).release()
    assert refused(controller, ada) == (429, "20")
    clock.now += 12
    assert refused(controller, ada) == (429, "8")  # having been refused costs nothing
    clock.now += 8
    controller.admit(ada).release()
    assert refused(controller, ada) == (429, "20")
    clock.now += 3_600
    for _ in range(3):  # no more than a minute's are saved up
        controller.admit(ada).release()
    assert refused(controller, ada)[0] == 429


def test_callers_do_not_share_and_permits_are_released_once() -> None:
    controller = AdmissionController(10, Clock())
    ada, bob, eve = Caller("ada", 1, 1), Caller("bob", 1, 1), Caller("eve")
    permits = [controller.admit(caller) for caller in (ada, bob, eve, eve)]
    assert controller.open == 4
    assert refused(controller, ada) == (429, "1")
    for permit in permits * 2:
        permit.release()
    assert controller.open == 0


def test_concurrent_requests_of_a_caller_are_bounded() -> None:
    controller, ada = AdmissionController(10), Caller("ada", concurrent=2)
    first = controller.admit(ada)
    controller.admit(ada)
    assert refused(controller, ada) == (429, "1")
    first.release()
    controller.admit(ada)


def test_a_full_service_is_503_and_costs_the_caller_nothing() -> None:
    controller, ada = AdmissionController(1, Clock()), Caller("ada", requests_per_minute=1)
    permit = controller.admit(Caller("bob"))
    assert refused(controller, ada) == (503, "1")
    permit.release()
    controller.admit(ada)
