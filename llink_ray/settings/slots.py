"""How foreign text stands in the prompt: the table of slot variants, and their settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from llink_ray.errors import LlinkError
from llink_ray.settings.section import Section


@dataclass(frozen=True)
class SlotVariant:
    """What the rest of the project needs to know of a value of ``slots.variant``."""

    module: str
    """``package.module:Class`` of its :class:`llink_ray.models.slots.SlotModule`, by name: settings import
    no torch."""
    reads_tokens: bool = False
    """It reads the encoder's token states besides its sentence vectors."""
    maps_tokens: bool = False
    """It maps each token state by itself, so that it can start from the decoder's embeddings."""
    has_heads: bool = False
    """Its attention splits the decoder's width into ``slots.heads`` heads."""
    uses_slots: bool = True
    """Slots stand for the text; otherwise the text itself is in the prompt."""
    slot_count: Callable[[SlotSettings, str], int] = lambda settings, text: settings.count
    """Number of slots of a text, 1 to ``settings.count``."""
    free: tuple[str, ...] = ("max_sentences", "letters_per_slot", "least")
    """Settings that neither a module's shape nor what its weights mean depend on."""


def _slots_by_length(settings: SlotSettings, text: str) -> int:
    """One slot for the sentence, and one for each ``letters_per_slot`` letters."""
    return min(settings.count, max(settings.least, 1 + math.ceil(len(text) / settings.letters_per_slot)))


SLOT_VARIANTS: dict[str, SlotVariant] = {
    "mean": SlotVariant("llink_ray.models.slots:MeanSlots"),
    "resampler": SlotVariant("llink_ray.models.slots:ResamplerSlots", reads_tokens=True, has_heads=True),
    "pooled": SlotVariant(
        "llink_ray.models.pooled_slots:PooledSlots",
        reads_tokens=True,
        maps_tokens=True,
        slot_count=_slots_by_length,
        free=("max_sentences", "letters_per_slot", "least", "count", "heads", "layers"),
    ),
    "none": SlotVariant("llink_ray.models.slots:NoSlots", uses_slots=False),
}
"""The one place that knows variants by name: a new one is a row here and its module."""

if TYPE_CHECKING:
    VariantName = str
else:
    VariantName = Literal[tuple(SLOT_VARIANTS)]


class SlotSettings(Section):
    """K soft slots that stand in the prompt where the foreign text would have stood."""

    count: int = Field(default=8, ge=1, le=256)
    """K; with ``pooled`` the most slots of one text."""
    variant: VariantName = "resampler"
    """``mean``: the paper's expander of the projected vector; ``resampler``: also reads token states;
    ``pooled``: as many as the text is long, each for a stretch of its tokens; ``none``: no slots, the raw
    text stands in the prompt (the baseline of direct fine-tuning)."""
    heads: PositiveInt = 4
    """Attention heads of the resampler."""
    layers: PositiveInt = 2
    """Cross-attention layers of the resampler."""
    letters_per_slot: PositiveFloat = 6.0
    """Letters of the text that one slot of ``pooled`` stands for. Letters, not tokens of the encoder, since
    the length of a prompt has to be known before the encoder has read the text."""
    least: int = Field(default=2, ge=2)
    """Fewest slots of a text with ``pooled``: one for the sentence, one for its tokens."""
    hidden: PositiveInt = 1_024
    """Width of the hidden layer of ``pooled``'s MLP."""
    max_sentences: PositiveInt = 1
    """Foreign sentences of one message, K slots each, and English between them stays text; a longer
    message is refused. 1: a message is one text, however long, and all of it foreign (the paper's way)."""
    numerals: bool = True
    """Write the text's numerals, as ASCII digits, beside the slots."""

    @property
    def uses_slots(self) -> bool:
        """Whether slots stand for the text; otherwise the text itself is in the prompt."""
        return SLOT_VARIANTS[self.variant].uses_slots

    @property
    def reads_tokens(self) -> bool:
        """Whether the slots are made from the encoder's token states, not from its sentence vectors alone."""
        return SLOT_VARIANTS[self.variant].reads_tokens

    def slot_count(self, text: str) -> int:
        """Number of slots that stand for ``text``; 0 where the text itself is in the prompt."""
        return SLOT_VARIANTS[self.variant].slot_count(self, text) if self.uses_slots else 0

    @property
    def most_slots(self) -> int:
        """The largest number of slots of one text: K, or 0 where the text itself is in the prompt."""
        return self.count if self.uses_slots else 0

    def check_width(self, decoder_dim: int) -> None:
        """Refuse heads that the decoder's width cannot be split into.

        Raises:
            LlinkError: names the setting.
        """
        if SLOT_VARIANTS[self.variant].has_heads and decoder_dim % self.heads:
            raise LlinkError(
                f"slots.heads is {self.heads}, which does not divide the decoder's width {decoder_dim}: "
                "choose a divisor with --set slots.heads=N"
            )
