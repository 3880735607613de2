"""Reading stored features by row: memory-mapped, so that a worker touches only the rows of its batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = slice | Sequence[int] | npt.NDArray[Any]
"""What numpy takes along one axis: positions, negative ones too, a slice or a boolean mask."""

Locations = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Shard, and row in the shard, of each text, (N,) each."""


class _Rows:
    """Where each of N texts is stored; without ``locations``, shard after shard."""

    def __init__(self, shard_rows: Sequence[int], locations: Locations | None) -> None:
        if locations is None:
            shards = np.repeat(np.arange(len(shard_rows)), shard_rows)
            locations = shards, np.concatenate([np.arange(rows) for rows in shard_rows])
        self._shard_of, self._row_of = locations

    def __len__(self) -> int:
        return len(self._shard_of)


class ShardedRows(_Rows):
    """Sentence vectors (N, d) in shards.

    Args:
        shards: arrays (rows, d).
        locations: shard and row of each text; None for all rows in their order.
    """

    def __init__(self, shards: Sequence[npt.NDArray[Any]], locations: Locations | None = None) -> None:
        super().__init__([len(shard) for shard in shards], locations)
        self._shards = shards

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        return len(self), int(self._shards[0].shape[1])

    def __getitem__(self, indices: Indices) -> npt.NDArray[np.float32]:
        """Rows in the order of ``indices``, copied: (n, d) float32.

        Raises:
            IndexError: a row does not exist.
        """
        indices = _checked(indices)
        shards, rows = self._shard_of[indices], self._row_of[indices]
        out = np.empty((len(rows), self.shape[1]), np.float32)
        for shard, positions in _by_shard(shards):
            out[positions] = self._shards[shard][rows[positions]]
        return out


class RaggedRows(_Rows):
    """Token states, a different number T of them for each text.

    Args:
        shards: flat token states (sum T, d) and offsets (rows + 1,) of each shard.
        locations: shard and row of each text; None for all rows in their order.
    """

    def __init__(
        self,
        shards: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]],
        locations: Locations | None = None,
    ) -> None:
        rows = [len(offsets) - 1 for _, offsets in shards]
        super().__init__(rows, locations)
        self._shards = [flat for flat, _ in shards]
        stored = np.concatenate([[0], np.cumsum(rows)[:-1]])[self._shard_of] + self._row_of  # (N,)
        self._starts = np.concatenate([offsets[:-1] for _, offsets in shards])[stored]
        self.lengths: npt.NDArray[np.int64] = np.concatenate([np.diff(offsets) for _, offsets in shards])[
            stored
        ]
        """Tokens of each text, (N,) int64."""

    @property
    def dim(self) -> int:
        """d."""
        return int(self._shards[0].shape[1])

    def gather(self, indices: Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Token states (n, T, d) float32, zero where padded on the right, and their mask (n, T) bool.

        T is the longest of the rows, at least 1.

        Raises:
            IndexError: a row does not exist.
        """
        indices = _checked(indices)
        shards, starts, lengths = self._shard_of[indices], self._starts[indices], self.lengths[indices]
        columns = np.arange(max(1, int(lengths.max(initial=0))))
        mask = columns < lengths[:, None]  # (n, T)
        states = np.zeros((*mask.shape, self.dim), np.float32)  # (n, T, d)
        for shard, positions in _by_shard(shards):
            row, column = np.nonzero(mask[positions])
            picked = positions[row]
            states[picked, column] = self._shards[shard][starts[picked] + column]
        return states, mask


def _checked(indices: Indices) -> slice | npt.NDArray[Any]:
    """Indices as numpy takes them; an empty list would be an array of floats."""
    if isinstance(indices, slice):
        return indices
    array = np.asarray(indices)
    return array if array.size else array.astype(np.int64)


def _by_shard(shards: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each shard among ``shards`` (n,) once, with the positions at which it occurs."""
    order = np.argsort(shards, kind="stable")
    present, starts = np.unique(shards[order], return_index=True)
    yield from zip(present.tolist(), np.split(order, starts[1:]), strict=False)
