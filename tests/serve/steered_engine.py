"""The engine at the pace of a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llink_ray.engine.batched_engine import BatchedEngine


class SteeredEngine(BatchedEngine):
    """An engine that can be slowed down and held."""

    pace = 0.0
    """Seconds that every step takes at least."""
    gate: threading.Event | None = None
    """No step is done until it is set."""

    def step(self) -> bool:
        time.sleep(self.pace)
        if self.gate is not None:
            self.gate.wait(60)
        return super().step()


@contextmanager
def endless(engine: BatchedEngine) -> Iterator[None]:
    """No token ends an answer that is asked for meanwhile: the small decoders of the tests say little."""
    end_ids, engine.end_ids = engine.end_ids, frozenset()
    try:
        yield
    finally:
        engine.end_ids = end_ids


@contextmanager
def paced(engine: SteeredEngine, seconds: float = 0.05) -> Iterator[None]:
    """Every token takes so long."""
    engine.pace = seconds
    try:
        yield
    finally:
        engine.pace = 0.0


@contextmanager
def held(engine: SteeredEngine) -> Iterator[Callable[[], None]]:
    """No token is made until the block ends or what it is given is called."""
    gate = engine.gate = threading.Event()
    try:
        yield gate.set
    finally:
        gate.set()
        engine.gate = None
