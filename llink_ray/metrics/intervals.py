"""95 % intervals: Wilson's of a share, and a paired bootstrap of figures that are functions of sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
CLEAR = 0.05
"""Least gap between ceiling and floor, as a share of the measure's scale, that can decide anything."""

Statistics = npt.NDArray[np.float64]
"""(n, k): what each of n examples adds to the k sums that a figure is a function of."""
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
        return asdict(self)


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval (Wilson's score) of a share of ``count`` tries.

    A share that is no whole number of tries, as where ties count in every order, is rounded to one.

    Raises:
        ValueError: a share outside 0 to 1, or no tries.
    """
    if not 0.0 <= share <= 1.0 or count < 1:
        raise ValueError(f"a share of 0 to 1 and at least one try are needed, got {share} of {count}")
    from scipy.stats import binomtest  # imports for a second: only the report needs it

    interval = binomtest(round(share * count), count).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def percentile_interval(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of bootstrap samples (draws,)."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def ratio(sums: Statistics) -> npt.NDArray[np.float64]:
    """First sum over second, as of a mean or a share; 0 where the second is 0."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)


def means(values: npt.ArrayLike) -> Statistics:
    """(n,) values as statistics of their mean, for :func:`ratio`."""
    column = np.asarray(values, dtype=np.float64)
    return np.stack([column, np.ones_like(column)], axis=1)


@dataclass(frozen=True, eq=False)
class Resampled:
    """A figure, and its value in each bootstrap sample."""

    value: float
    samples: npt.NDArray[np.float64]
    """(draws,)"""

    @property
    def estimate(self) -> Estimate:
        """With the interval."""
        return Estimate(self.value, *percentile_interval(self.samples))

    def minus(self, other: Resampled) -> Resampled:
        """The paired difference."""
        return Resampled(self.value - other.value, self.samples - other.samples)


class PairedBootstrap:
    """Draws of n examples with replacement, the same for every system, so that differences are paired."""

    def __init__(self, count: int, seed: int, draws: int) -> None:
        """``draws`` samples of ``count`` examples each."""
        self.count = count
        rng = np.random.default_rng(seed)
        # (draws, n): how often each example is in each sample
        self._weights = rng.multinomial(count, np.full(count, 1 / count), draws).astype(np.float64)

    def resample(self, statistics: Statistics, value: Value = ratio) -> Resampled:
        """A system's figure over all samples.

        Raises:
            ValueError: other than ``count`` examples.
        """
        if len(statistics) != self.count:
            raise ValueError(f"{len(statistics)} examples where {self.count} are drawn")
        return Resampled(float(value(statistics.sum(0)[None])[0]), value(self._weights @ statistics))


def is_clear_gap(ceiling: Resampled, floor: Resampled, scale: float) -> bool:
    """Whether a ceiling is so far above the floor that something between them can be told.

    Not where the interval of the gap includes 0, nor where the gap is less than ``CLEAR`` of ``scale``.
    """
    gap = ceiling.minus(floor).estimate
    return gap.low > 0 and gap.value >= CLEAR * scale


def gap_recovered(system: Resampled, floor: Resampled, ceiling: Resampled) -> Estimate:
    """(system - floor) / (ceiling - floor): 0 at the floor, 1 at the ceiling; it may lie outside.

    The interval is over the samples in which the ceiling is above the floor.

    Raises:
        ValueError: the ceiling is not above the floor.
    """
    gap, gain = ceiling.minus(floor), system.minus(floor)
    if gap.value <= 0:
        raise ValueError("the gap between a floor and a ceiling that is not above it cannot be recovered")
    upward = gap.samples > 0
    return Estimate(gain.value / gap.value, *percentile_interval(gain.samples[upward] / gap.samples[upward]))
