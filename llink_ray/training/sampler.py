"""Which rows make up step n: a pure function of (size, batch, seed, step), so resume is by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from llink_ray.errors import LlinkError

Indices = npt.NDArray[np.int64]


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> Indices:
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch(count: int, batch_size: int, seed: int, step: int) -> Indices:
    """Rows of step ``step`` (0-based); each epoch is a new permutation, its ragged end left out."""
    epoch, position = divmod(step, count // batch_size)
    return _order(count, seed, epoch)[position * batch_size : (position + 1) * batch_size]


class BucketedBatches:
    """One epoch's batches of rows of like length, in random order.

    Rows are shuffled, sorted by length within pools of ``pool`` batches, cut, and the batches shuffled: this
    saves padding and stays random. The ragged end is left out before the sorting, or it would always be the
    longest rows. Lengths are computed for a pool when the first of its batches is read.

    Args:
        count: rows of the epoch.
        lengths: rows (n,) -> their lengths (n,).
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        epoch: int,
        lengths: Callable[[Indices], Indices],
        pool: int = 16,
    ) -> None:
        rng = np.random.default_rng([seed, epoch, 1])
        self._size, self._pool, self._lengths = batch_size, pool, lengths
        self._rows = rng.permutation(count)[: count // batch_size * batch_size]  # sorted pool by pool
        self._batches = rng.permutation(count // batch_size)
        self._sorted: set[int] = set()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, position: int) -> Indices:
        """Rows (batch_size,) of the batch at ``position``."""
        index = int(self._batches[position])
        pool = index // self._pool
        if pool not in self._sorted:
            span = self._pool * self._size
            rows = self._rows[pool * span : (pool + 1) * span]  # a view
            rows[:] = rows[np.argsort(self._lengths(rows), kind="stable")]
            self._sorted.add(pool)
        return self._rows[index * self._size : (index + 1) * self._size]


def effective_batch_size(batch_size: int, count: int, workers: int) -> int:
    """The batch size, or for a small corpus the largest that fits and divides by the workers.

    Raises:
        LlinkError: not even one row for each worker.
    """
    if count < workers:
        raise LlinkError(
            f"{count} training {'pair is' if count == 1 else 'pairs are'} too few for {workers} workers: "
            "give more pairs, or fewer with --num-workers"
        )
    return min(batch_size, count // workers * workers)


def micro_batch_size(lengths: Sequence[Sequence[int]], most: int | None, most_tokens: int | None) -> int:
    """Examples in each micro-batch of a step: as few micro-batches as the limits allow, of even size.

    ``lengths`` has, for each worker, its examples' lengths in order, as many for each; all workers make as
    many micro-batches. One of a single example may be longer than ``most_tokens``.
    """
    examples = len(lengths[0])
    size = examples
    for count in range(1, examples + 1):
        size = -(-examples // count)
        parts = [row[start : start + size] for row in lengths for start in range(0, examples, size)]
        longest = max(len(part) * max(part) for part in parts)
        if size <= (most or size) and longest <= (most_tokens or longest):
            break
    return size
