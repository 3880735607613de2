"""Reading features by row: memory-mapped, so that a worker touches only the rows of its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = slice | Sequence[int] | npt.NDArray[Any]
"""What numpy takes along one axis: positions, negative ones too, a slice or a boolean mask."""


Places = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Shard and row in the shard of each text, (N,) each."""


class _Rows:
    """Where each of N texts lies; without ``places``, shard after shard."""

    def __init__(self, lengths: Sequence[int], places: Places | None) -> None:
        if places is None:
            shards = np.repeat(np.arange(len(lengths)), lengths)
            places = shards, np.concatenate([np.arange(length) for length in lengths])
        self._shard_of, self._row_of = places

    def __len__(self) -> int:
        return len(self._shard_of)

    def _locate(self, indices: Indices) -> Places:
        """Shard and row in the shard, each (n,)."""
        if not isinstance(indices, slice):
            array = np.asarray(indices)
            indices = array if array.size else array.astype(np.int64)
        return self._shard_of[indices], self._row_of[indices]


class ShardedRows(_Rows):
    """Sentence vectors (N, d) in shards.

    Args:
        shards: arrays (rows, d).
        places: shard and row of each text; nothing means all rows in their order.
    """

    def __init__(self, shards: Sequence[npt.NDArray[Any]], places: Places | None = None) -> None:
        super().__init__([len(shard) for shard in shards], places)
        self._shards = shards

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        return len(self), int(self._shards[0].shape[1])

    def __getitem__(self, indices: Indices) -> npt.NDArray[np.float32]:
        """Rows in the order asked for, copied: (n, d) float32.

        Raises:
            IndexError: a row that is not there.
        """
        shards, rows = self._locate(indices)
        out = np.empty((len(rows), self.shape[1]), np.float32)
        for shard in np.unique(shards):
            here = shards == shard
            out[here] = self._shards[shard][rows[here]]
        return out


class RaggedRows(_Rows):
    """Token states, a different number T of them for each text.

    Args:
        shards: flat token states (sum T, d) and offsets (rows + 1,) of each shard.
        places: shard and row of each text; nothing means all rows in their order.
    """

    def __init__(
        self,
        shards: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]],
        places: Places | None = None,
    ) -> None:
        super().__init__([len(offsets) - 1 for _, offsets in shards], places)
        self._shards = [(flat, np.asarray(offsets)) for flat, offsets in shards]
        self.lengths: npt.NDArray[np.int64] = np.empty(len(self), np.int64)
        """Tokens of each text, (N,) int64; what a length-bucketing sampler wants."""
        for shard, (_, offsets) in enumerate(self._shards):
            here = self._shard_of == shard
            self.lengths[here] = np.diff(offsets)[self._row_of[here]]

    @property
    def dim(self) -> int:
        """d."""
        return int(self._shards[0][0].shape[1])

    def gather(self, indices: Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Padded token states (n, T, d) float32, zero where there is no token, and the mask (n, T) bool.

        T is the longest of the rows asked for, at least 1. Tokens stand at the left.

        Raises:
            IndexError: a row that is not there.
        """
        shards, rows = self._locate(indices)
        bounds = [self._shards[shard][1][row : row + 2] for shard, row in zip(shards, rows, strict=True)]
        lengths = np.array([end - start for start, end in bounds], dtype=np.int64)  # (n,)
        width = max(1, int(lengths.max(initial=0)))
        states = np.zeros((len(rows), width, self.dim), np.float32)  # (n, T, d)
        for i, (shard, (start, end)) in enumerate(zip(shards, bounds, strict=True)):
            states[i, : lengths[i]] = self._shards[shard][0][start:end]
        return states, np.arange(width) < lengths[:, None]


@dataclass(frozen=True)
class Features:
    """Features of N texts, row i belonging to text i.

    Sent to another process it travels as an address and is opened there, so no values are copied.
    """

    uri: str
    key: str
    vectors: ShardedRows
    tokens: RaggedRows | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """d of the vectors."""
        return self.vectors.shape[1]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as (store, key)."""
        return _reopen, (self.uri, self.key)


def _reopen(uri: str, key: str) -> Features:
    from llink_ray.features.store import FeatureStore

    return FeatureStore(uri).open(key)
