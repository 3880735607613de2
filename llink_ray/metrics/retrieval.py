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
"""Cosines nearer than this are the same: far above float64 rounding, far below what float32 vectors tell."""
TILE = 2_048
"""Rows of each side in one block of similarities: 32 MiB of float64, whatever the number of pairs."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well each foreign vector finds its own English among all of them."""

    r1: float
    """Share of rows whose right answer comes first."""
    r5: float
    """… among the first five."""
    r10: float
    """… among the first ten."""
    mrr: float
    """Mean of 1 / rank."""
    mean_rank: float
    """Mean rank; 1 is perfect."""
    margin: float
    """Mean of how much nearer the right answer is than the nearest other, in cosine: from -2 to 2, and 0
    where there is no other. It still tells projectors apart of which each has R@1 1.000."""
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


def retrieval(queries: Vectors, targets: Vectors, tile: int = TILE) -> Retrieval:
    """Rank every target by its cosine with each query; row i's right answer is target i.

    ``queries`` (projected foreign vectors) and ``targets`` (teacher states) are (n, d), numpy or torch,
    any float type; the arithmetic is float64 in blocks of ``tile`` x ``tile``. Targets that tie with the
    right one (equal English sentences, a collapsed projector) stand in every order equally often, and
    each figure is its mean over those orders: n equal vectors give R@1 = 1/n and mean rank (n + 1) / 2.

    Raises LlinkError where the shapes do not pair up or there is nothing to rank, JobFailed for a vector
    that is not finite.
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

    own = np.empty(count)  # (n,) cosine with the right answer
    for start in range(0, count, tile):
        rows = slice(start, start + tile)
        pairs = _unit(query[rows], start, "queries") * _unit(target[rows], start, "targets")  # (m, d)
        own[rows] = pairs.sum(axis=1)

    above = np.zeros(count, dtype=np.int64)  # (n,) targets that beat the right one
    level = np.full(count, -1, dtype=np.int64)  # (n,) others that tie with it; -1 takes itself away
    nearest = np.full(count, -np.inf)  # (n,) how far the nearest other is ahead of it
    for start in range(0, count, tile):
        rows = slice(start, start + tile)
        block = _unit(query[rows], start, "queries")  # (m, d)
        for column in range(0, count, tile):
            others = _unit(target[column : column + tile], column, "targets")  # (c, d)
            lead = block @ others.T - own[rows, None]  # (m, c)
            above[rows] += (lead > TIE).sum(axis=1)
            level[rows] += (np.abs(lead) <= TIE).sum(axis=1)
            if start == column:
                np.fill_diagonal(lead, -np.inf)  # the right answer itself
            nearest[rows] = np.maximum(nearest[rows], lead.max(axis=1))
    return _figures(above, level, 0.0 if count == 1 else -float(nearest.mean()))


def _figures(above: NDArray[np.int64], level: NDArray[np.int64], margin: float) -> Retrieval:
    """Means over rows and over the orders of ties: ranks above+1 … above+level+1, each equally often."""
    places = level + 1  # (n,)

    def recall(k: int) -> float:
        return float((np.clip(k - above, 0, places) / places).mean())

    harmonic = np.cumsum([0.0, *(1.0 / np.arange(1, len(above) + 1))])  # (n + 1,) 1/1 + … + 1/k
    mrr = ((harmonic[above + places] - harmonic[above]) / places).mean()
    mean_rank = (above + 1 + level / 2).mean()
    return Retrieval(recall(1), recall(5), recall(10), float(mrr), float(mean_rank), margin, len(above))


def _shares(r1: float, r5: float, r10: float) -> tuple[float, float, float, float]:
    """Shares of rows at rank 1, 2 to 5, 6 to 10 and beyond."""
    if not 0.0 <= r1 <= r5 <= r10 <= 1.0:
        raise ValueError(f"recalls must satisfy 0 <= R@1 <= R@5 <= R@10 <= 1, got {r1}, {r5}, {r10}")
    return r1, r5 - r1, r10 - r5, 1.0 - r10


def largest_mrr(r1: float, r5: float, r10: float) -> float:
    """The largest MRR that these recalls allow: everyone at the best rank of their group (1, 2, 6, 11).

    A published MRR above it contradicts its own recalls.
    """
    first, five, ten, rest = _shares(r1, r5, r10)
    return first + five / 2 + ten / 6 + rest / 11


def smallest_mean_rank(r1: float, r5: float, r10: float) -> float:
    """The smallest mean rank that these recalls allow."""
    first, five, ten, rest = _shares(r1, r5, r10)
    return first + five * 2 + ten * 6 + rest * 11
