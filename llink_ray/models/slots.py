"""Stage B's modules: the projected vector becomes K soft slots between two learned marks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from llink_ray.errors import LlinkError
from llink_ray.settings import SlotSettings


class Expander(nn.Module):
    """The paper's expander (section 3.3): one vector -> K slots.

    Unit norm, LayerNorm without affine, learned scale, gated residual adapter, then Linear d->2d,
    GELU, Linear 2d->K·d.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.scale = nn.Parameter(torch.ones(1))
        self.gate = nn.Parameter(torch.zeros(1))
        self.adapter = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.expand = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, count * dim))

    def forward(self, projected: torch.Tensor) -> torch.Tensor:
        """(B, d) -> (B, K, d)."""
        unit = F.normalize(projected, dim=-1)
        state = F.layer_norm(unit, unit.shape[-1:]) * self.scale  # (B, d)
        state = state + torch.tanh(self.gate) * self.adapter(state)
        slots: torch.Tensor = self.expand(state).unflatten(-1, (self.count, -1))
        return slots


class CrossAttentionBlock(nn.Module):
    """One layer of the resampler: slots look at token states, then think."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_look = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.look = nn.Linear(dim, dim)
        self.before_thought = nn.LayerNorm(dim)
        self.thought = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, slots: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """slots (B, K, d), states (B, T, d), mask (B, T) bool -> (B, K, d)."""
        split = (self.heads, -1)
        query = self.query(self.before_look(slots)).unflatten(-1, split).transpose(1, 2)  # (B, h, K, d/h)
        key, value = (
            part.unflatten(-1, split).transpose(1, 2) for part in self.key_value(states).chunk(2, -1)
        )  # (B, h, T, d/h)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        slots = slots + self.look(seen.transpose(1, 2).flatten(2))
        thought: torch.Tensor = self.thought(self.before_thought(slots))
        return slots + thought


class NoSlots(nn.Module):
    """Variant ``none``: nothing stands for the text, which is in the prompt itself (direct fine-tuning)."""

    reads_tokens = False

    def forward(
        self, projected: torch.Tensor, tokens: torch.Tensor | None, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """projected (B, d_dec) -> (B, 0, d_dec)."""
        return projected.new_zeros(len(projected), 0, projected.shape[-1])


class SoftSlots(nn.Module):
    """K soft slots with an opening and a closing mark, as the decoder's input embeddings.

    Variant ``mean`` is the paper's; ``resampler`` lets the expander's slots attend over the encoder's
    token states, so that what the mean vector blurs can still be read.
    """

    embedding_norm: torch.Tensor

    def __init__(self, settings: SlotSettings, decoder_dim: int, token_dim: int, norm: float) -> None:
        super().__init__()
        if settings.variant == "resampler" and decoder_dim % settings.heads:
            raise LlinkError(
                f"slots.heads is {settings.heads}, which does not divide the decoder's width {decoder_dim}: "
                "choose a divisor"
            )
        self.expander = Expander(decoder_dim, settings.count)
        self.reads_tokens = settings.variant == "resampler"
        if self.reads_tokens:
            self.into = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, decoder_dim))
            self.readers = nn.ModuleList(
                CrossAttentionBlock(decoder_dim, settings.heads) for _ in range(settings.layers)
            )
        self.norm = nn.LayerNorm(decoder_dim)
        self.marks = nn.Parameter(torch.zeros(2, decoder_dim))
        self.register_buffer("embedding_norm", torch.tensor([norm]))

    @torch.no_grad()
    def mark_with(self, opening: torch.Tensor, closing: torch.Tensor) -> None:
        """Start the two marks, (d,) each, from embeddings the decoder knows."""
        self.marks.copy_(torch.stack([opening, closing]).to(self.marks))

    def forward(
        self, projected: torch.Tensor, tokens: torch.Tensor | None, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """projected (B, d_dec), tokens (B, T, d_enc), mask (B, T) bool -> slots (B, K, d_dec).

        Slots leave with the median norm of the decoder's token embeddings (section 3.3).
        """
        slots = self.expander(projected)
        if self.reads_tokens:
            assert tokens is not None and mask is not None, "the resampler reads token states"
            states = self.into(tokens)  # (B, T, d)
            for reader in self.readers:
                slots = reader(slots, states, mask)
        normed: torch.Tensor = self.norm(slots) * (self.embedding_norm / slots.shape[-1] ** 0.5)
        return normed

    def marked(self, slots: torch.Tensor) -> torch.Tensor:
        """(B, K, d) -> (B, K+2, d): the slots between their marks."""
        opening, closing = (mark.expand(len(slots), 1, -1) for mark in self.marks)
        return torch.cat([opening, slots, closing], dim=1)
