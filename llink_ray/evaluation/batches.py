"""Batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized


def by_length(items: Sequence[Sized], batch_size: int) -> Iterator[list[int]]:
    """Indices of the items in batches of like length, the shortest first."""
    order = sorted(range(len(items)), key=lambda i: len(items[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
