"""Slots that follow the text: a longer text gets more of them, each made from its own stretch of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from llink_ray.models.encoder import Encoded
from llink_ray.models.slots import DelimitedSlots, Slots
from llink_ray.settings import SlotSettings, StageBSettings

if TYPE_CHECKING:
    from llink_ray.models.decoder import Decoder


class PooledSlots(DelimitedSlots):
    """Variant ``pooled``: Stage A's vector as the first slot, then means of consecutive token states.

    An MLP maps each token's state into the decoder's space; slot k of K is their mean over the k-th of K - 1
    equal stretches of the text. With a slot for nearly every token this is the mapping of MindMerger
    (arXiv 2405.17386), with fewer a shorter prompt.
    """

    embedding_mean: torch.Tensor

    def __init__(
        self, settings: SlotSettings, decoder_dim: int, token_dim: int, embedding_norm: float = 1.0
    ) -> None:
        super().__init__(settings, decoder_dim, token_dim)
        self.mlp = nn.Sequential(
            nn.LayerNorm(token_dim),
            nn.Linear(token_dim, settings.hidden),
            nn.GELU(),
            nn.Linear(settings.hidden, decoder_dim),
        )
        self.add_delimiters(decoder_dim, embedding_norm)
        self.register_buffer("embedding_mean", torch.zeros(decoder_dim))

    def forward(self, projected: torch.Tensor, encoded: Encoded) -> Slots:
        """projected (B, d_dec), ``encoded.slot_counts`` (B,) -> slots (B, K, d_dec)."""
        counts = encoded.slot_counts
        assert encoded.tokens is not None and encoded.mask is not None and counts is not None
        mapped = self.mlp(encoded.tokens.to(self.delimiters.dtype))  # (B, T, d)
        pooled = self.norm(stretch_means(mapped, encoded.mask.sum(1), counts - 1))  # (B, K-1, d)
        sentence = F.layer_norm(projected, projected.shape[-1:])[:, None].to(pooled)  # (B, 1, d)
        words = self.scaled(pooled) + self.embedding_mean.to(pooled)
        vectors = torch.cat([self.scaled(sentence), words], dim=1)
        return Slots(vectors, counts).with_vectors(vectors)

    @torch.no_grad()
    def start_from(self, decoder: Decoder) -> None:
        """The delimiters, and where the decoder's embeddings lie: their mean, and their distance from it."""
        super().start_from(decoder)
        table = decoder.model.get_input_embeddings()
        ids = torch.arange(table.weight.shape[0], device=decoder.device)
        rows = torch.cat([table(block).float() for block in ids.split(8_192)])  # (V, d)
        self.embedding_mean.copy_(rows.mean(0))
        self.embedding_norm.copy_((rows - rows.mean(0)).norm(dim=-1).median()[None])

    def token_vectors(self, states: torch.Tensor) -> torch.Tensor:
        """(N, d_dec), with the layer norm that slots end with, without the embeddings' mean and norm."""
        vectors: torch.Tensor = self.norm(self.mlp(states))
        return vectors

    def summary(self, slots: Slots) -> torch.Tensor:
        """(N, d_dec): the first slot, which has the direction of Stage A's vector."""
        return slots.vectors[:, 0]

    def parameter_groups(self, settings: StageBSettings) -> list[dict[str, Any]]:
        """All of them alike."""
        rate, decay = settings.slot_learning_rate, settings.weight_decay
        return [{"params": [*self.parameters()], "lr": rate, "weight_decay": decay}]


def stretch_means(states: torch.Tensor, lengths: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Means over ``counts[b]`` equal stretches of the first ``lengths[b]`` states of each row.

    Stretches overlap where the states do not divide evenly, and none is empty. ``states`` is (B, T, d),
    ``lengths`` and ``counts`` (B,), at least 1; returns (B, max(counts), d).
    """
    stretch = torch.arange(int(counts.max()), device=states.device)  # (K,)
    place = torch.arange(states.shape[1], device=states.device)  # (T,)
    lengths, counts = lengths[:, None], counts[:, None]
    start = stretch.clamp(max=counts - 1) * lengths // counts  # (B, K)
    end = -(-(stretch + 1).clamp(max=counts) * lengths // counts)
    inside = (place >= start[..., None]) & (place < torch.maximum(end, start + 1)[..., None])  # (B, K, T)
    weights = inside.to(states.dtype)
    means: torch.Tensor = (weights @ states) / weights.sum(-1, keepdim=True)
    return means
