"""Reading features by row: memory-mapped, so that a worker touches only the rows of its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = slice | Sequence[int] | npt.NDArray[Any]
"""What numpy takes along one axis: positions, negative ones too, a slice or a boolean mask."""


class _Rows:
    """Row ``i`` is row ``i % shard_size`` of shard ``i // shard_size``."""

    def __init__(self, lengths: Sequence[int], shard_size: int) -> None:
        self._rows = np.arange(sum(lengths))
        self._shard_size = shard_size

    def __len__(self) -> int:
        return len(self._rows)

    def _locate(self, indices: Indices) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Shard and row in the shard, each (n,)."""
        if not isinstance(indices, slice):
            array = np.asarray(indices)
            indices = array if array.size else array.astype(np.int64)
        rows = self._rows[indices]
        return rows // self._shard_size, rows % self._shard_size


class ShardedRows(_Rows):
    """Sentence vectors (N, d) in shards.

    Args:
        shards: arrays (rows, d), every one but the last of ``shard_size`` rows.
        shard_size: rows in a shard.
    """

    def __init__(self, shards: Sequence[npt.NDArray[Any]], shard_size: int) -> None:
        super().__init__([len(shard) for shard in shards], shard_size)
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
        shard_size: texts in a shard.
    """

    def __init__(
        self, shards: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]], shard_size: int
    ) -> None:
        super().__init__([len(offsets) - 1 for _, offsets in shards], shard_size)
        self._shards = [(flat, np.asarray(offsets)) for flat, offsets in shards]
        self.lengths: npt.NDArray[np.int64] = np.concatenate(
            [np.diff(offsets) for _, offsets in self._shards]
        )
        """Tokens of each text, (N,) int64; what a length-bucketing sampler wants."""

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
        lengths = self.lengths[shards * self._shard_size + rows]  # (n,)
        width = max(1, int(lengths.max(initial=0)))
        states = np.zeros((len(rows), width, self.dim), np.float32)  # (n, T, d)
        for i, (shard, row) in enumerate(zip(shards, rows, strict=True)):
            flat, offsets = self._shards[shard]
            states[i, : lengths[i]] = flat[offsets[row] : offsets[row + 1]]
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
