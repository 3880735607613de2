"""How sure a figure is, and how far on the way from floor to ceiling: one paired bootstrap for all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
CLEAR = 0.05
"""Least difference between ceiling and floor, as a share of the measure's scale, that can decide anything."""

Statistics = npt.NDArray[np.float64]
"""(n, k): what each of n examples adds to the k sums that a figure is made of."""
Value = Callable[[Statistics], npt.NDArray[np.float64]]
"""(m, k) sums -> (m,) figures."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def ratio(sums: Statistics) -> npt.NDArray[np.float64]:
    """First sum over second, as of a mean or a share; 0 where there is nothing to divide by."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)


def means(values: npt.ArrayLike) -> Statistics:
    """(n,) values as statistics of their mean, for :func:`ratio`."""
    column = np.asarray(values, dtype=np.float64)
    return np.stack([column, np.ones_like(column)], axis=1)


class Resampled:
    """The same draws of n examples for every system, so that differences are paired.

    Examples are drawn with replacement. Intervals are percentiles over the draws.
    """

    def __init__(self, count: int, seed: int, draws: int) -> None:
        """``draws`` samples of ``count`` examples each."""
        self.count, self.draws = count, draws
        self._seed = seed

    @cached_property
    def weights(self) -> npt.NDArray[np.float64]:
        """(draws, n): how often each example is in each draw."""
        rng = np.random.default_rng(self._seed)
        return rng.multinomial(self.count, np.full(self.count, 1 / self.count), self.draws).astype(np.float64)

    def curve(self, statistics: Statistics, value: Value) -> Curve:
        """A system's figure over all draws.

        Raises:
            ValueError: other than ``count`` examples.
        """
        if len(statistics) != self.count:
            raise ValueError(f"{len(statistics)} examples where {self.count} are drawn")
        return Curve(float(value(statistics.sum(0)[None])[0]), value(self.weights @ statistics))


@dataclass(frozen=True, eq=False)
class Curve:
    """A figure, and what it was in each draw."""

    value: float
    drawn: npt.NDArray[np.float64]
    """(draws,)"""

    @property
    def estimate(self) -> Estimate:
        """With the interval."""
        return _estimate(self.value, self.drawn)

    def minus(self, other: Curve) -> Curve:
        """The paired difference."""
        return Curve(self.value - other.value, self.drawn - other.drawn)


def stands_clear(ceiling: Curve, floor: Curve, scale: float) -> bool:
    """Whether a ceiling is so far above the floor that something between them can be told.

    Not where the interval of the difference includes 0, nor where it is less than ``CLEAR`` of ``scale``.
    """
    difference = ceiling.minus(floor).estimate
    return difference.low > 0 and difference.value >= CLEAR * scale


def share_of_the_way(system: Curve, floor: Curve, ceiling: Curve) -> Estimate:
    """(system - floor) / (ceiling - floor): 0 at the floor, 1 at the ceiling; below 0 and above 1 exist.

    The interval is over the draws in which the ceiling is above the floor.

    Raises:
        ValueError: the ceiling is not above the floor.
    """
    way, gone = ceiling.minus(floor), system.minus(floor)
    if way.value <= 0:
        raise ValueError("there is no way from a floor to a ceiling that is not above it")
    upward = way.drawn > 0
    return _estimate(gone.value / way.value, gone.drawn[upward] / way.drawn[upward])


def _estimate(value: float, drawn: npt.NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
