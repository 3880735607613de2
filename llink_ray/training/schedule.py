"""Learning-rate and temperature schedules as functions of the step."""

from __future__ import annotations

import math


def warm_cosine(step: int, steps: int, warmup: int, floor: float = 0.0) -> float:
    """Factor on the peak at 0-based ``step``: linear up over ``warmup``, then a cosine down to ``floor``."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def anneal(step: int, steps: int, start: float, end: float) -> float:
    """Linear from ``start`` at the first step to ``end`` at the last."""
    return start + (end - start) * min(1.0, step / max(1, steps - 1))
