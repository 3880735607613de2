"""The assembly: frozen decoder with adapters, projector, soft slots; prompts in, losses or logits out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder, left_pad, positions
from llink_ray.models.encoder import Encoded
from llink_ray.models.loading import quiet_loading
from llink_ray.models.projector import Projector
from llink_ray.models.slots import SlotModule, Slots, slot_module
from llink_ray.prompts import SLOT_ID
from llink_ray.settings import LoraSettings, Settings

IGNORED = -100
"""Label of a position that is not predicted."""


@dataclass
class Prompts:
    """B prompts, left-padded to S positions."""

    ids: torch.Tensor
    """(B, S) token ids; ``SLOT_ID`` where slots go, 0 where padded."""
    mask: torch.Tensor
    """(B, S) 1 where there is a token or a slot."""
    labels: torch.Tensor
    """(B, S) token ids of the answer, ``IGNORED`` elsewhere."""

    def to(self, device: torch.device) -> Prompts:
        """On another device."""
        return Prompts(self.ids.to(device), self.mask.to(device), self.labels.to(device))


def collate(rows: Sequence[Sequence[int]], answers: Sequence[Sequence[int]] | None = None) -> Prompts:
    """Pad prompt rows (and the answers behind them) on the left."""
    answers = answers if answers is not None else [[]] * len(rows)
    ids, mask = left_pad([[*row, *answer] for row, answer in zip(rows, answers, strict=True)])
    labels = torch.full_like(ids, IGNORED)
    for i, answer in enumerate(answers):
        labels[i, ids.shape[1] - len(answer) :] = ids[i, ids.shape[1] - len(answer) :]
    return Prompts(ids, mask, labels)


class LlinkModel(nn.Module):
    """Trainable: slots and LoRA. Frozen: decoder, and the projector that Stage A left."""

    decoder: Any
    """The causal model, with adapters on it (PEFT) or without."""

    def __init__(self, decoder: nn.Module, projector: Projector, slots: SlotModule) -> None:
        super().__init__()
        self.decoder = decoder
        self.projector = projector.requires_grad_(False).eval()
        self.slots = slots

    def train(self, mode: bool = True) -> LlinkModel:
        """The projector stays as Stage A left it: no dropout in Stage B."""
        super().train(mode)
        self.projector.eval()
        return self

    def project(self, encoded: Encoded) -> torch.Tensor:
        """(B, d_dec): the Stage A vector."""
        with torch.no_grad():
            projected: torch.Tensor = self.projector(encoded.vectors)
        return projected

    def soft_slots(self, encoded: Encoded, projected: torch.Tensor | None = None) -> Slots:
        """Slots of N texts; ``projected`` (N, d_dec) spares a second run of the projector."""
        slots: Slots = self.slots(self.project(encoded) if projected is None else projected, encoded)
        return slots

    def embed(self, prompts: Prompts, slots: Slots | None) -> torch.Tensor:
        """Input embeddings (B, S, d): of the tokens, and of the slots at the positions kept for them.

        The N texts stand in the B prompts in order: all of the first prompt, then all of the second.

        Raises:
            ValueError: positions and slots differ in number.
        """
        at_slots = prompts.ids == SLOT_ID  # (B, S)
        embedded: torch.Tensor = self.decoder.get_input_embeddings()(prompts.ids.clamp(min=0))  # (B, S, d)
        by_prompt = at_slots.sum(1)  # (B,)
        by_text = by_prompt[:0] if slots is None else slots.positions()  # (N,)
        ends = F.pad(by_text.cumsum(0), (1, 0))  # where texts end, and 0 for prompts without any
        if not bool(torch.isin(by_prompt.cumsum(0), ends).all() & (by_prompt.sum() == ends[-1])):
            raise ValueError(
                f"prompts have {by_prompt.tolist()} slot positions; the slots of their texts need "
                f"{by_text.tolist()}"
            )
        if slots is None or not slots.width:
            return embedded
        return embedded.masked_scatter(at_slots[..., None], self.slots.prompt_rows(slots).to(embedded.dtype))

    def decode(
        self, embedded: torch.Tensor, mask: torch.Tensor, at: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (B, S, V), float32; with ``at`` (B, S), bool, those of its N positions alone, (N, V).

        The output layer is a fifth of a small decoder's work, and its logits most of the memory, so a loss
        asks for the positions that it counts, and takes them in the decoder's own number format.
        """
        with _output_layer_at(self.decoder, at):
            logits: torch.Tensor = self.decoder(
                inputs_embeds=embedded, attention_mask=mask, position_ids=positions(mask), use_cache=False
            ).logits
        return logits.float() if at is None else logits[0]

    def forward(self, prompts: Prompts, encoded: Encoded | None) -> torch.Tensor:
        """Logits (B, S, V); without ``encoded`` the prompts hold text only."""
        slots = None if encoded is None else self.soft_slots(encoded)
        return self.decode(self.embed(prompts, slots), prompts.mask)

    @torch.inference_mode()
    def generate(
        self, prompts: Prompts, slots: Slots | None, decoder: Decoder, max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; the same text for any B."""
        return decoder.greedy(self.embed(prompts, slots), prompts.mask, max_new_tokens, self.decoder)


@contextmanager
def _output_layer_at(decoder: Any, at: torch.Tensor | None) -> Iterator[None]:
    """Have the output layer read the states at some positions only, (B, S, d) -> (1, N, d).

    A hook, since what families do to logits behind that layer (scale, cap) has to stay.
    """
    if at is None:
        yield
        return
    hook = decoder.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][at][None],))
    try:
        yield
    finally:
        hook.remove()


def new_slots(decoder: Decoder, settings: Settings, token_dim: int) -> SlotModule:
    """Untrained slots for a decoder; ``token_dim`` is the width of the encoder's token states."""
    slots = slot_module(settings.slots, decoder.dim, token_dim, decoder.embedding_norm())
    slots.start_from(decoder)
    return slots


def with_lora(model: nn.Module, settings: LoraSettings) -> Any:
    """The decoder with fresh adapters on it (PEFT), in its own number format.

    Engines keep copies of what they train in float32.

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
        with quiet_loading():
            return get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise LlinkError(
            f"lora.targets = {settings.targets!r} names no layers of this decoder "
            f"({str(error).strip().splitlines()[0]}): set lora.targets=all-linear"
        ) from error
