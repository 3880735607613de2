"""How sure a share is."""

from __future__ import annotations

from llink_ray.evaluation.judge.summary import LEVEL


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval (Wilson's score) of a share found in ``count`` tries.

    A share that is no whole number of tries, as where ties stand in every order, is taken at the nearest.

    Raises:
        ValueError: a share outside 0 to 1, or no tries.
    """
    if not 0.0 <= share <= 1.0 or count < 1:
        raise ValueError(f"a share of 0 to 1 and at least one try are needed, got {share} of {count}")
    from scipy.stats import binomtest  # a second of start-up, for the report alone

    found = binomtest(round(share * count), count).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)
