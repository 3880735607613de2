"""The assembly: frozen decoder with adapters, projector, soft slots; prompts in, losses or logits out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder, positions
from llink_ray.models.loading import plainly
from llink_ray.models.projector import Projector
from llink_ray.models.slots import NoSlots, SoftSlots
from llink_ray.prompts.builder import SLOT_ID
from llink_ray.settings import LoraSettings, Settings

IGNORED = -100
"""Label of a position that is not predicted."""


@dataclass
class Prompts:
    """B prompts, left-padded to S positions."""

    ids: torch.Tensor
    """(B, S) token ids; ``SLOT_ID`` where slots go, 0 where padded."""
    mask: torch.Tensor
    """(B, S) 1 where something stands."""
    labels: torch.Tensor
    """(B, S) token ids of the answer, ``IGNORED`` elsewhere."""

    def to(self, device: torch.device) -> Prompts:
        """On another device."""
        return Prompts(self.ids.to(device), self.mask.to(device), self.labels.to(device))


@dataclass
class Sources:
    """What the encoder said of B texts."""

    vectors: torch.Tensor
    """(B, d_enc)"""
    tokens: torch.Tensor | None = None
    """(B, T, d_enc)"""
    mask: torch.Tensor | None = None
    """(B, T) bool"""

    def to(self, device: torch.device) -> Sources:
        """On another device."""
        optional = (None if part is None else part.to(device) for part in (self.tokens, self.mask))
        return Sources(self.vectors.to(device), *optional)


def collate(rows: Sequence[Sequence[int]], answers: Sequence[Sequence[int]] | None = None) -> Prompts:
    """Pad prompt rows (and the answers behind them) on the left."""
    behind = answers if answers is not None else [[]] * len(rows)
    length = max(len(row) + len(answer) for row, answer in zip(rows, behind, strict=True))
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED)
    for i, (row, answer) in enumerate(zip(rows, behind, strict=True)):
        whole = torch.tensor([*row, *answer])
        ids[i, length - len(whole) :] = whole
        mask[i, length - len(whole) :] = 1
        if answer:
            labels[i, length - len(answer) :] = torch.tensor(list(answer))
    return Prompts(ids, mask, labels)


class LlinkModel(nn.Module):
    """Trainable: slots and LoRA. Frozen: decoder, and the projector that Stage A left."""

    decoder: Any
    """The causal model, with adapters on it (PEFT) or without."""

    def __init__(self, decoder: nn.Module, projector: Projector, slots: SoftSlots | NoSlots) -> None:
        super().__init__()
        self.decoder = decoder
        self.projector = projector.requires_grad_(False).eval()
        self.slots = slots

    def train(self, mode: bool = True) -> LlinkModel:
        """The projector stays as Stage A left it: no dropout in Stage B."""
        super().train(mode)
        self.projector.eval()
        return self

    def project(self, sources: Sources) -> torch.Tensor:
        """(B, d_dec): the Stage A vector."""
        with torch.no_grad():
            projected: torch.Tensor = self.projector(sources.vectors)
        return projected

    def soft_slots(self, sources: Sources, projected: torch.Tensor | None = None) -> torch.Tensor:
        """(N, K, d_dec); K is 0 where the text itself stands in the prompt."""
        projected = self.project(sources) if projected is None else projected
        tokens = None if sources.tokens is None else sources.tokens.to(projected.dtype)
        slots: torch.Tensor = self.slots(projected, tokens, sources.mask)
        return slots

    def embed(self, prompts: Prompts, slots: torch.Tensor | None) -> torch.Tensor:
        """Input embeddings (B, S, d): tokens' own, and the slots (N, K, d) where their places are.

        The N foreign sentences stand in the B prompts in order: all of the first, then all of the second.

        Raises:
            ValueError: places and slots differ in number.
        """
        place = prompts.ids == SLOT_ID  # (B, S)
        embedded: torch.Tensor = self.decoder.get_input_embeddings()(prompts.ids.clamp(min=0))  # (B, S, d)
        count, each = (0, 0) if slots is None or not slots.shape[1] else (len(slots), slots.shape[1] + 2)
        by_row = place.sum(1)  # (B,)
        if int(by_row.sum()) != count * each or (each and bool((by_row % each).any())):
            found = sorted(set(by_row.tolist()))
            raise ValueError(f"prompts have {found} slot places; slots of {count} sentences need {each} each")
        if slots is None or isinstance(self.slots, NoSlots):
            return embedded
        marked = self.slots.marked(slots).to(embedded.dtype)  # (N, K+2, d)
        return embedded.masked_scatter(place[..., None], marked)

    def decode(self, embedded: torch.Tensor, mask: torch.Tensor, keep: int = 0) -> torch.Tensor:
        """Logits (B, keep or S, V), float32, of the last ``keep`` positions."""
        logits: torch.Tensor = self.decoder(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions(mask),
            use_cache=False,
            logits_to_keep=keep,
        ).logits
        return logits[:, -keep:].float() if keep else logits.float()

    def forward(self, prompts: Prompts, sources: Sources | None) -> torch.Tensor:
        """Logits (B, S, V); without ``sources`` the prompts hold text only."""
        slots = None if sources is None else self.soft_slots(sources)
        return self.decode(self.embed(prompts, slots), prompts.mask)

    @torch.inference_mode()
    def generate(
        self, prompts: Prompts, slots: torch.Tensor | None, decoder: Decoder, max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; the same text for any B."""
        return decoder.greedy(self.embed(prompts, slots), prompts.mask, max_new_tokens, self.decoder)


def new_slots(decoder: Decoder, settings: Settings, token_dim: int) -> SoftSlots | NoSlots:
    """Untrained slots for a decoder, their marks started from its words for begin and end."""
    if settings.slots.variant == "none":
        return NoSlots()
    slots = SoftSlots(settings.slots, decoder.dim, token_dim, decoder.embedding_norm())
    table = decoder.model.get_input_embeddings()
    with torch.no_grad():
        marks = [
            table(torch.tensor(decoder.prompt.ids(mark), device=decoder.device)).float().mean(0)
            for mark in ("<foreign>", "</foreign>")
        ]
    slots.mark_with(*marks)
    return slots


def with_lora(model: nn.Module, settings: LoraSettings) -> Any:
    """The decoder with fresh adapters on it (PEFT).

    Raises:
        LlinkError: the named targets are not in this decoder.
    """
    from peft import LoraConfig, get_peft_model

    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        with plainly():
            return get_peft_model(model, config)
    except ValueError as error:
        raise LlinkError(
            f"lora.targets = {settings.targets!r} names no layers of this decoder "
            f"({str(error).strip().splitlines()[0]}): set lora.targets=all-linear"
        ) from error
