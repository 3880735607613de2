"""Retrieval, example by example, so that it can be resampled and told by source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llink_ray.metrics.retrieval import TIE, retrieval

if TYPE_CHECKING:
    from llink_ray.metrics.retrieval import Vectors


@dataclass(frozen=True)
class Ranked:
    """Where the right target came for each of n queries."""

    above: list[int]
    """Targets that are nearer than the right one."""
    level: list[int]
    """Others that tie with it."""
    figures: dict[str, Any]
    """R@1, R@5, R@10, MRR, mean rank over all of them."""

    def first(self) -> npt.NDArray[np.float64]:
        """(n,) 1 where the right one comes first, its share where it ties, else 0: R@1 is the mean."""
        above, level = np.array(self.above), np.array(self.level)
        return np.where(above == 0, 1 / (level + 1), 0.0)


def ranked(queries: Vectors, targets: Vectors) -> Ranked:
    """Rank n targets (n, d) by their cosine with each of n queries (n, d).

    Raises:
        LlinkError: the shapes do not pair up or there is nothing to rank.
        JobFailed: a vector is not finite.
    """
    figures = retrieval(queries, targets).as_dict()
    unit = [_unit(np.asarray(side, dtype=np.float64)) for side in (queries, targets)]
    own = (unit[0] * unit[1]).sum(1)  # (n,)
    above, level = [], []
    for row, mine in enumerate(own):
        lead = unit[1] @ unit[0][row] - mine  # (n,)
        lead[row] = -np.inf
        above.append(int((lead > TIE).sum()))
        level.append(int((np.abs(lead) <= TIE).sum()))
    return Ranked(above, level, figures)


def cosines(a: Vectors, b: Vectors) -> list[float]:
    """Row by row, of (n, d) and (n, d)."""
    first, second = (_unit(np.asarray(side, dtype=np.float64)) for side in (a, b))
    return [float(value) for value in (first * second).sum(1)]


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = rows / np.where(lengths == 0.0, 1.0, lengths)
    return unit
