"""Batches made ahead in a thread: in order, bounded, with their failures, and gone with their reader."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import pytest

from llink_ray.training.prefetch import Prefetcher


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("prefetch")}


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_batches_come_in_order_and_are_made_ahead_but_not_far() -> None:
    made: list[int] = []

    def prepare(step: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        made.append(step)
        return step * step

    batches = Prefetcher(prepare, steps=6, depth=2)
    for step in range(6):
        assert batches.take(step) == step * step
        expected = list(range(min(6, step + 3)))
        assert until(lambda expected=expected: made == expected)  # type: ignore[misc]
    batches.close()


def test_another_step_than_the_next_is_made_at_once() -> None:
    """A restored checkpoint, and a step behind the last."""
    batches = Prefetcher(lambda step: step, steps=100)
    assert [batches.take(step) for step in (0, 1, 50, 51, 7, 100, 100)] == [0, 1, 50, 51, 7, 100, 100]
    batches.close()


def test_a_failure_reaches_its_own_step() -> None:
    def prepare(step: int) -> int:
        if step == 2:
            raise ValueError("row 2 is broken")
        return step

    batches = Prefetcher(prepare, steps=5)
    assert [batches.take(step) for step in (0, 1)] == [0, 1]
    with pytest.raises(ValueError, match="row 2 is broken"):
        batches.take(2)
    assert batches.take(3) == 3
    batches.close()


def test_waiting_is_measured() -> None:
    def prepare(step: int) -> int:
        time.sleep(0.2 if step == 0 else 0.0)
        return step

    batches = Prefetcher(prepare, steps=3)
    batches.take(0)
    assert batches.wait_seconds >= 0.2
    assert until(lambda: all(future.done() for _, future in batches._pending))
    batches.take(1)
    assert batches.wait_seconds < 0.1
    batches.close()


@pytest.mark.parametrize("end", ["last step", "closed", "forgotten"])
def test_the_thread_ends_with_its_reader(end: str) -> None:
    others = threads()
    batches = Prefetcher(lambda step: step, steps=3)
    batches.take(0)
    (own,) = threads() - others
    if end == "last step":
        assert [batches.take(step) for step in (1, 2)] == [1, 2]
    elif end == "closed":
        batches.close()
    else:
        del batches
        gc.collect()
    assert until(lambda: not own.is_alive())
