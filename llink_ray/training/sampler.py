"""Which rows make up step n: a pure function of (size, batch, seed, step), so resume is by step."""

from __future__ import annotations

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
    per_epoch = count // batch_size
    epoch, place = divmod(step, per_epoch)
    return _order(count, seed, epoch)[place * batch_size : (place + 1) * batch_size]


def bucketed(lengths: Indices, batch_size: int, seed: int, epoch: int, pool: int = 16) -> list[Indices]:
    """One epoch's batches of rows of like length, in random order.

    Rows are shuffled, sorted by ``lengths`` within pools of ``pool`` batches, cut, and the batches
    shuffled: padding is saved, chance is kept. The ragged end is left out before the sorting, or it
    would always be the longest rows.
    """
    rng = np.random.default_rng([seed, epoch, 1])
    order = rng.permutation(len(lengths))[: len(lengths) // batch_size * batch_size]
    batches: list[Indices] = []
    for start in range(0, len(order), pool * batch_size):
        part = order[start : start + pool * batch_size]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += np.split(part, len(part) // batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


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
