"""Foreign -> English retrieval on held-out pairs (paper, section 4: R@1, R@5, R@10, MRR, mean rank)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llink_ray.errors import JobFailed, LlinkError

if TYPE_CHECKING:
    import torch

    Vectors = NDArray[Any] | torch.Tensor

TIE = 1e-10
"""Cosines nearer than this tie: far above float64 rounding, far below the resolution of float32 vectors."""
TILE = 2_048
"""Rows of each side in one block of similarities: 32 MiB of float64, whatever the number of pairs."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well each foreign vector finds its own English among all targets."""

    r1: float
    """Share of queries whose right target comes first."""
    r5: float
    """… among the first five."""
    r10: float
    """… among the first ten."""
    mrr: float
    """Mean of 1 / rank."""
    mean_rank: float
    """Mean rank; 1 is perfect."""
    margin: float
    """Mean of cosine(right target) - cosine(nearest other): from -2 to 2, and 0 where there is no other.
    It still tells projectors apart whose R@1 is 1.000."""
    count: int
    """Pairs."""

    def as_dict(self) -> dict[str, float | int]:
        """The figures as they stand in ``metrics.json``."""
        return asdict(self)


def _array(vectors: Vectors) -> NDArray[Any]:
    """numpy (n, d) from numpy or torch of any device and float type; no copy where none is needed."""
    if hasattr(vectors, "detach"):
        tensor = vectors.detach().cpu()
        vectors = (tensor if tensor.is_floating_point() and tensor.itemsize >= 4 else tensor.float()).numpy()
    return np.asarray(vectors)


def _unit(rows: NDArray[Any], first: int, side: str) -> NDArray[np.float64]:
    """Rows (m, d) at length 1 in float64; a zero row stays zero, so its cosine with anything is 0."""
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)  # (m, 1)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]))
    if bad.size:
        raise JobFailed(
            f"retrieval: row {first + int(bad[0])} of the {side} holds a value that is not a finite number: "
            "the training probably diverged, so try a lower learning rate"
        )
    unit: NDArray[np.float64] = rows / np.where(lengths == 0.0, 1.0, lengths)
    return unit


@dataclass(frozen=True)
class Ranks:
    """Where the right target came for each of n queries."""

    above: NDArray[np.int64]
    """(n,) targets nearer to the query than the right one."""
    tied: NDArray[np.int64]
    """(n,) other targets as near as the right one."""
    margin: float
    """See :class:`Retrieval`."""

    def first(self) -> NDArray[np.float64]:
        """(n,) 1 where the right target comes first, its share where it ties, else 0; R@1 is the mean."""
        return np.where(self.above == 0, 1 / (self.tied + 1), 0.0)

    def summary(self) -> Retrieval:
        """Means over queries and over the orders of ties: ranks above+1 ... above+tied+1, equally often."""
        above, group = self.above, self.tied + 1  # (n,)

        def recall(k: int) -> float:
            return float((np.clip(k - above, 0, group) / group).mean())

        harmonic = np.cumsum([0.0, *(1.0 / np.arange(1, len(above) + 1))])  # (n + 1,) 1/1 + ... + 1/k
        mrr = ((harmonic[above + group] - harmonic[above]) / group).mean()
        mean_rank = (above + 1 + self.tied / 2).mean()
        return Retrieval(
            recall(1), recall(5), recall(10), float(mrr), float(mean_rank), self.margin, len(above)
        )


def retrieval(queries: Vectors, targets: Vectors, tile: int = TILE) -> Retrieval:
    """The figures of :func:`rank`."""
    return rank(queries, targets, tile).summary()


def rank(queries: Vectors, targets: Vectors, tile: int = TILE) -> Ranks:
    """Rank every target by its cosine with each query; the right target of row i is target i.

    ``queries`` (projected foreign vectors) and ``targets`` (teacher states) are (n, d), numpy or torch of any
    float type; the arithmetic is float64 in blocks of ``tile`` x ``tile``. Targets that tie with the right
    one (equal English sentences, a collapsed projector) count in every order equally often: n equal vectors
    give R@1 = 1/n and mean rank (n + 1) / 2.

    Raises:
        LlinkError: the shapes do not pair up, or there is nothing to rank.
        JobFailed: a vector is not finite.
    """
    query, target = _array(queries), _array(targets)
    if query.ndim != 2 or query.shape != target.shape:
        raise LlinkError(
            f"retrieval needs one target of the same size for each query, as (n, d): "
            f"got {query.shape} queries and {target.shape} targets"
        )
    count = len(query)
    if count == 0:
        raise LlinkError("retrieval needs at least one held-out pair: enlarge the corpus or the test share")

    own = np.empty(count)  # (n,) cosine with the right target
    for start in range(0, count, tile):
        rows = slice(start, start + tile)
        pairs = _unit(query[rows], start, "queries") * _unit(target[rows], start, "targets")  # (m, d)
        own[rows] = pairs.sum(axis=1)

    above = np.zeros(count, dtype=np.int64)  # (n,) targets that beat the right one
    tied = np.full(count, -1, dtype=np.int64)  # (n,) from -1, as the right target ties with itself
    nearest = np.full(count, -np.inf)  # (n,) lead of the nearest other target
    for start in range(0, count, tile):
        rows = slice(start, start + tile)
        block = _unit(query[rows], start, "queries")  # (m, d)
        for column in range(0, count, tile):
            others = _unit(target[column : column + tile], column, "targets")  # (c, d)
            lead = block @ others.T - own[rows, None]  # (m, c)
            above[rows] += (lead > TIE).sum(axis=1)
            tied[rows] += (np.abs(lead) <= TIE).sum(axis=1)
            if start == column:
                np.fill_diagonal(lead, -np.inf)  # the right target itself
            nearest[rows] = np.maximum(nearest[rows], lead.max(axis=1))
    return Ranks(above, tied, 0.0 if count == 1 else -float(nearest.mean()))


def cosines(a: Vectors, b: Vectors) -> list[float]:
    """Cosines of the rows of (n, d) with the rows of (n, d), pair by pair."""
    first, second = _unit(_array(a), 0, "left side"), _unit(_array(b), 0, "right side")
    return [float(value) for value in (first * second).sum(1)]
