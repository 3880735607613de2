"""Stage B's modules: the projected vector becomes soft slots between two learned delimiters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from llink_ray.models.encoder import Encoded
from llink_ray.prompts import DELIMITERS
from llink_ray.settings import SlotSettings, StageBSettings
from llink_ray.settings.slots import SLOT_VARIANTS

if TYPE_CHECKING:
    from llink_ray.models.decoder import Decoder


@dataclass(frozen=True)
class Slots:
    """Soft slots of N texts."""

    vectors: torch.Tensor
    """(N, K, d_dec); rows beyond a text's own count are zero."""
    counts: torch.Tensor | None = None
    """(N,), long: slots of each text; None where each has K."""

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """K: the most slots of one text; 0 where the text itself is in the prompt."""
        return self.vectors.shape[1]

    def mask(self) -> torch.Tensor | None:
        """(N, K), bool: where a slot stands; None where everywhere."""
        if self.counts is None:
            return None
        return torch.arange(self.width, device=self.vectors.device) < self.counts[:, None]

    def positions(self) -> torch.Tensor:
        """(N,), long: positions of a prompt that each text fills, the two delimiters among them."""
        if self.counts is not None:
            return self.counts + DELIMITERS
        each = self.width + DELIMITERS if self.width else 0
        return torch.full((len(self),), each, device=self.vectors.device)

    def mean(self) -> torch.Tensor:
        """(N, d_dec): mean over each text's slots."""
        if self.counts is None:
            return self.vectors.mean(1)
        return self.vectors.sum(1) / self.counts[:, None]

    def with_vectors(self, vectors: torch.Tensor) -> Slots:
        """Other vectors (N, K, d_dec) in the same number for each text."""
        mask = self.mask()
        return replace(self, vectors=vectors if mask is None else vectors * mask[..., None])


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
    """One layer of the resampler: cross-attention from slots to token states, then an MLP; pre-norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, slots: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """slots (B, K, d), states (B, T, d), mask (B, T) bool -> (B, K, d)."""
        split = (self.heads, -1)
        query = self.query(self.query_norm(slots)).unflatten(-1, split).transpose(1, 2)  # (B, h, K, d/h)
        key, value = (
            part.unflatten(-1, split).transpose(1, 2) for part in self.key_value(states).chunk(2, -1)
        )  # (B, h, T, d/h)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        slots = slots + self.out_proj(attended.transpose(1, 2).flatten(2))
        update: torch.Tensor = self.mlp(self.mlp_norm(slots))
        return slots + update


class SlotModule(nn.Module):
    """What a slot variant gives: slots of texts, and how they are trained.

    ``settings`` says what it reads and how many slots a text gets (:mod:`llink_ray.settings.slots`).
    """

    def __init__(
        self, settings: SlotSettings, decoder_dim: int, token_dim: int, embedding_norm: float = 1.0
    ) -> None:
        """``token_dim`` is the width of token states, ``embedding_norm`` the norm that slots leave with."""
        super().__init__()
        self.settings = settings

    def forward(self, projected: torch.Tensor, encoded: Encoded) -> Slots:
        """Slots of B texts, from Stage A's vectors (B, d_dec) and what the encoder gave.

        A variant whose texts differ in number of slots gives each ``encoded.slot_counts`` of them.
        """
        raise NotImplementedError

    def start_from(self, decoder: Decoder) -> None:
        """Initialise what starts from the decoder's own embeddings."""

    def prompt_rows(self, slots: Slots) -> torch.Tensor:
        """(R, d_dec): input embeddings of the prompt positions that the slots fill, text by text.

        R is the sum of :meth:`Slots.positions`.
        """
        raise NotImplementedError

    def token_vectors(self, states: torch.Tensor) -> torch.Tensor:
        """(N, d_dec): what becomes of single token states (N, d_enc), for variants that map each of them.

        The start from the decoder's embeddings trains it (:mod:`llink_ray.training.embedding_start`).
        """
        raise NotImplementedError

    def summary(self, slots: Slots) -> torch.Tensor:
        """(N, d_dec): what the slots of each text say as one vector, comparable with Stage A's."""
        return slots.mean()

    def parameter_groups(self, settings: StageBSettings) -> list[dict[str, Any]]:
        """Parameters with their peak learning rates, as optimizers take them."""
        raise NotImplementedError


class NoSlots(SlotModule):
    """Variant ``none``: the text itself is in the prompt (direct fine-tuning)."""

    def forward(self, projected: torch.Tensor, encoded: Encoded) -> Slots:
        """projected (B, d_dec) -> slots (B, 0, d_dec)."""
        return Slots(projected.new_zeros(len(projected), 0, projected.shape[-1]))

    def parameter_groups(self, settings: StageBSettings) -> list[dict[str, Any]]:
        """None."""
        return []


class DelimitedSlots(SlotModule):
    """Slots between two learned delimiters, with the norm of the decoder's token embeddings."""

    embedding_norm: torch.Tensor

    def add_delimiters(self, decoder_dim: int, embedding_norm: float) -> None:
        """Register the norm that ends the module, the delimiters and the decoder's constant."""
        self.norm = nn.LayerNorm(decoder_dim)
        self.delimiters = nn.Parameter(torch.zeros(2, decoder_dim))
        self.register_buffer("embedding_norm", torch.tensor([embedding_norm]))

    def scaled(self, normed: torch.Tensor) -> torch.Tensor:
        """Vectors (..., d_dec) of a layer norm with the median norm of token embeddings (section 3.3)."""
        scaled: torch.Tensor = normed * (self.embedding_norm / normed.shape[-1] ** 0.5)
        return scaled

    @torch.no_grad()
    def start_from(self, decoder: Decoder) -> None:
        """Start the delimiters from mean embeddings of the tokens of ``<foreign>`` and ``</foreign>``."""
        table, device = decoder.model.get_input_embeddings(), decoder.device
        means = [
            table(torch.tensor(decoder.prompt_builder.token_ids(text), device=device)).float().mean(0)
            for text in ("<foreign>", "</foreign>")
        ]
        self.delimiters.copy_(torch.stack(means).to(self.delimiters))

    def prompt_rows(self, slots: Slots) -> torch.Tensor:
        """(R, d_dec): each text's slots between the delimiters."""
        opening, closing = (row.expand(len(slots), 1, -1) for row in self.delimiters)
        rows = torch.cat([opening, slots.vectors, closing], dim=1)  # (N, K+2, d)
        mask = slots.mask()
        return rows.flatten(0, 1) if mask is None else rows[F.pad(mask, (1, 1), value=True)]


class MeanSlots(DelimitedSlots):
    """Variant ``mean``, the paper's: K slots from the projected vector, between two delimiters."""

    def __init__(
        self, settings: SlotSettings, decoder_dim: int, token_dim: int, embedding_norm: float = 1.0
    ) -> None:
        super().__init__(settings, decoder_dim, token_dim)
        settings.check_width(decoder_dim)
        self.expander = Expander(decoder_dim, settings.count)
        self.add_layers(settings, decoder_dim, token_dim)
        self.add_delimiters(decoder_dim, embedding_norm)
        self.register_load_state_dict_pre_hook(_rename_tensors)  # type: ignore[no-untyped-call]

    def add_layers(self, settings: SlotSettings, decoder_dim: int, token_dim: int) -> None:
        """Register what stands between expander and norm: parameters keep this order in the optimizer."""

    def refine(self, slots: torch.Tensor, encoded: Encoded) -> torch.Tensor:
        """What those layers make of the expander's slots (B, K, d_dec)."""
        return slots

    def forward(self, projected: torch.Tensor, encoded: Encoded) -> Slots:
        """projected (B, d_dec) -> slots (B, K, d_dec)."""
        return Slots(self.scaled(self.norm(self.refine(self.expander(projected), encoded))))

    def parameter_groups(self, settings: StageBSettings) -> list[dict[str, Any]]:
        """The expander's scale has a learning rate of its own and no decay."""
        scale = self.expander.scale
        others = [p for p in self.parameters() if p is not scale]
        return [
            {"params": others, "lr": settings.slot_learning_rate, "weight_decay": settings.weight_decay},
            {"params": [scale], "lr": settings.scale_learning_rate, "weight_decay": 0.0},
        ]


class ResamplerSlots(MeanSlots):
    """Variant ``resampler``: the expander's slots attend over the encoder's token states.

    They recover what the sentence vector has averaged away.
    """

    def add_layers(self, settings: SlotSettings, decoder_dim: int, token_dim: int) -> None:
        """A projection of token states to the decoder's width, and the cross-attention blocks."""
        self.token_projection = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, decoder_dim))
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(decoder_dim, settings.heads) for _ in range(settings.layers)
        )

    def refine(self, slots: torch.Tensor, encoded: Encoded) -> torch.Tensor:
        """slots (B, K, d_dec), attending over ``encoded.tokens`` -> (B, K, d_dec)."""
        assert encoded.tokens is not None and encoded.mask is not None, "the resampler reads token states"
        states = self.token_projection(encoded.tokens.to(slots.dtype))  # (B, T, d)
        for block in self.blocks:
            slots = block(slots, states, encoded.mask)
        return slots


def slot_module(
    settings: SlotSettings, decoder_dim: int, token_dim: int, embedding_norm: float = 1.0
) -> SlotModule:
    """The untrained module of ``settings.variant``."""
    module: type[SlotModule] = resolve_name(SLOT_VARIANTS[settings.variant].module)
    return module(settings, decoder_dim, token_dim, embedding_norm)


_TENSORS_OF_FORMAT_1 = {
    "marks": "delimiters",
    "into": "token_projection",
    "readers": "blocks",
    "before_look": "query_norm",
    "look": "out_proj",
    "before_thought": "mlp_norm",
    "thought": "mlp",
}
"""Names in bundles of format version 1, and in checkpoints of their time."""


def _rename_tensors(module: nn.Module, tensors: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    """Load tensors by their former names too."""
    for name in [name for name in tensors if name.startswith(prefix)]:
        parts = name.removeprefix(prefix).split(".")
        renamed = prefix + ".".join(_TENSORS_OF_FORMAT_1.get(part, part) for part in parts)
        tensors[renamed] = tensors.pop(name)
