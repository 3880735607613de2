"""Keys and values of a running batch, padded on the left: rows join and leave, and the padding shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llink_ray.errors import LlinkError


@dataclass(frozen=True)
class PaddedCache:
    """B rows of one width. Never changed in place: a step that fails leaves the cache before it intact."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Keys and values of each layer, (B, heads, W, d_head) each; row ``i`` fills its last columns."""
    lengths: tuple[int, ...]
    """Tokens of each row."""

    @property
    def width(self) -> int:
        """W: columns, those of the longest row."""
        return int(self.layers[0][0].shape[2])

    @classmethod
    def from_dynamic(cls, cache: DynamicCache, lengths: Sequence[int]) -> PaddedCache:
        """The cache that a forward pass filled.

        Raises:
            LlinkError: a layer caches something else than keys and values of every token.
        """
        layers = []
        for layer in cache.layers:
            if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None:
                raise LlinkError(
                    f"this decoder's cache ({type(layer).__name__}) cannot be batched row by row: "
                    "choose a decoder with attention in every layer"
                )
            layers.append((layer.keys, layer.values))
        if not layers:
            raise LlinkError(
                "this decoder keeps no keys and values: choose a decoder with attention in every layer"
            )
        return cls(tuple(layers), tuple(lengths))

    def to_dynamic(self) -> DynamicCache:
        """The same for transformers to extend; nothing is copied.

        Every layer is a plain one, also of decoders with sliding windows: rows end in the same column, so
        the window's mask, which counts columns, is right for each of them, and nothing is ever cut off.
        """
        cache = DynamicCache()
        for keys, values in self.layers:
            layer = DynamicLayer()
            layer.dtype, layer.device = keys.dtype, keys.device
            layer.keys, layer.values, layer.is_initialized = keys, values, True
            cache.layers.append(layer)
        return cache

    def select(self, rows: Sequence[int]) -> PaddedCache:
        """The given rows in that order, without columns that only the others needed."""
        lengths = tuple(self.lengths[i] for i in rows)
        first = self.width - max(lengths)
        index = torch.tensor(list(rows), device=self.layers[0][0].device)
        layers = tuple(
            (keys[:, :, first:].index_select(0, index), values[:, :, first:].index_select(0, index))
            for keys, values in self.layers
        )
        return PaddedCache(layers, lengths)

    def concat(self, other: PaddedCache) -> PaddedCache:
        """These rows, then the other's."""
        width = max(self.width, other.width)

        def joined(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
            return torch.cat([_pad_left(ours, width), _pad_left(theirs, width)])

        layers = tuple(
            (joined(keys, more_keys), joined(values, more_values))
            for (keys, values), (more_keys, more_values) in zip(self.layers, other.layers, strict=True)
        )
        return PaddedCache(layers, self.lengths + other.lengths)


def _pad_left(states: torch.Tensor, width: int) -> torch.Tensor:
    missing = width - states.shape[2]
    return F.pad(states, (0, 0, missing, 0)) if missing else states


def left_mask(lengths: Sequence[int], width: int, device: torch.device) -> torch.Tensor:
    """(B, W) long: 1 in the last ``lengths[i]`` columns of row ``i``."""
    column = torch.arange(width, device=device)
    return (column >= width - torch.tensor(list(lengths), device=device)[:, None]).long()
