"""Stage A's data: features of N training pairs, in memory or on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from llink_ray.features import ShardedRows


class Rows(Protocol):
    """N vectors, read by row: a tensor, or one of the classes below."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        """(n, d) of n rows."""


class MappedRows:
    """The first N vectors of stored features, memory-mapped: the processes of a machine share them, where a
    tensor would be a copy in each."""

    def __init__(self, vectors: ShardedRows, count: int) -> None:
        self._vectors, self._count = vectors, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        return torch.from_numpy(self._vectors[rows.numpy()])


class JoinedRows:
    """Rows of two sets, the second after the first."""

    def __init__(self, first: Rows, second: Rows) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        behind = rows >= len(self._first)
        first, second = self._first[rows[~behind]], self._second[rows[behind] - len(self._first)]
        joined = first.new_empty(len(rows), first.shape[1])
        joined[~behind], joined[behind] = first, second
        return joined


class ShiftedRows:
    """Rows x moved onto another distribution: ``x * scale + shift``."""

    def __init__(self, rows: Rows, scale: torch.Tensor, shift: torch.Tensor) -> None:
        self._rows, self._scale, self._shift = rows, scale, shift

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        return self._rows[rows] * self._scale + self._shift


@dataclass(frozen=True)
class AlignmentData:
    """Features of N training pairs."""

    foreign: Rows
    """Encoder vectors, (N, d_enc), float32."""
    teacher: Rows
    """Teacher states, (N, d_dec), float32."""
    sentences: torch.Tensor
    """(N,) the same number for the same English sentence: such rows are no negatives of each other."""
    pairs: int = 0
    """Pairs that the rows come from; 0 where each row is a pair."""

    def with_english(self, english: Rows) -> AlignmentData:
        """The same pairs twice: with their foreign side, and with ``english`` (N, d_enc) in its place.

        Most of what a language adds to a multilingual encoder's vectors is one shift of all of them. So the
        vectors of the English side, moved onto the mean and spread of the foreign ones, are further training
        data for the same map, which helps most on text of another kind (docs/experiments.md).
        """
        mean, spread = moments(self.foreign)
        english_mean, english_spread = moments(english)
        scale = spread / english_spread
        moved = ShiftedRows(english, scale, mean - english_mean * scale)
        return AlignmentData(
            JoinedRows(self.foreign, moved),
            JoinedRows(self.teacher, self.teacher),
            torch.cat([self.sentences, self.sentences]),
            pairs=len(self.foreign),
        )


def moments(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread (d,) of all rows, float32."""
    total = squares = torch.zeros(1, dtype=torch.float64)
    for part in torch.arange(len(rows)).split(4_096):
        values = rows[part].double()
        total, squares = total + values.sum(0), squares + values.square().sum(0)
    mean = total / len(rows)
    spread = (squares / len(rows) - mean.square()).clamp(min=1e-8).sqrt()
    return mean.float(), spread.float()
