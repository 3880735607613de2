"""Attention of the decoder while it answers, by part of the prompt: slots, marks, numerals, instruction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from llink_ray.models.decoder import positions
from llink_ray.models.llink import LlinkModel, collate
from llink_ray.models.slots import Slots
from llink_ray.prompts import DELIMITERS, SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import SlotSettings
from llink_ray.text.languages import Language
from llink_ray.text.numerals import numerals

PARTS = ("marks", "numerals", "instruction", "answer")
"""Parts of a prompt besides its slots; ``answer`` is the answer so far."""


@dataclass(frozen=True)
class Layout:
    """A prompt, and the column of the attention that each of its positions counts for."""

    ids: list[int]
    """S token ids, ``SLOT_ID`` where slots and marks go."""
    columns: list[int]
    """S columns: 0 to K-1 a slot, K + i the part ``PARTS[i]``."""


def layout(
    prompt: PromptBuilder,
    instruction: str,
    text: str,
    settings: SlotSettings,
    language: Language | None = None,
) -> Layout:
    """The prompt of one text by parts. A token that numerals share with what follows counts as numerals."""
    ids = prompt.slot_prompt(instruction, text, settings, language)
    count = settings.slot_count(text)
    marks, lane, rest, _ = (count + i for i in range(len(PARTS)))
    start = ids.index(SLOT_ID)
    after = ids[start + count + DELIMITERS :]
    named = 0  # tokens of the numerals
    if settings.numerals and numerals(text, language):
        plain = prompt.text_prompt(instruction, "")[start:]
        both = zip(reversed(after), reversed(plain), strict=False)
        named = len(after) - sum(1 for _ in takewhile(lambda tokens: tokens[0] == tokens[1], both))
    slots = [marks, *range(count), marks]
    return Layout(ids, [rest] * start + slots + [lane] * named + [rest] * (len(after) - named))


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Eager attention, which alone returns its weights; then the model's own again, whatever happens."""
    before = _implementations(model.config)
    try:
        model.set_attn_implementation("eager")
        yield
    finally:
        model.set_attn_implementation(before)


def _implementations(config: Any) -> dict[str, Any]:
    """Attention of a model and of each model within it, as ``set_attn_implementation`` takes it."""
    parts = {name: getattr(config, name, None) for name in config.sub_configs}
    return {
        "": config._attn_implementation,
        **{name: _implementations(part) for name, part in parts.items() if part is not None},
    }


@torch.inference_mode()
def attention(model: LlinkModel, layout: Layout, slots: Slots, answer: Sequence[int]) -> torch.Tensor | str:
    """Shares of attention (L, T, K + 4), float32, mean over heads; or a sentence on why there are none.

    Row t is of the position that predicts answer token t, so the first is the prompt's last. ``slots``
    are of that text, ``answer`` the T answer tokens. A row sums to 1, less what families with attention sinks
    outside of the text give to those. Layers without attention (hybrid models) are left out.
    """
    device = slots.vectors.device
    prompts = collate([layout.ids]).to(device)
    embedded = model.embed(prompts, slots)  # (1, S, d)
    tokens = torch.tensor([answer[:-1]], dtype=torch.long, device=device)  # (1, T-1)
    answered = model.decoder.get_input_embeddings()(tokens).to(embedded.dtype)
    inputs = torch.cat([embedded, answered], dim=1)  # (1, S+T-1, d)
    mask = torch.ones(inputs.shape[:2], dtype=torch.long, device=device)
    count = int(slots.counts[0]) if slots.counts is not None else slots.width
    columns = torch.tensor(layout.columns + [count + len(PARTS) - 1] * tokens.shape[1], device=device)
    one_hot = torch.nn.functional.one_hot(columns, count + len(PARTS)).float()  # (S+T-1, K+4)
    base = model.decoder.get_base_model() if hasattr(model.decoder, "get_base_model") else model.decoder
    family = getattr(base.config, "model_type", type(base).__name__)
    missing = f"decoders of the family {family!r} return no attention weights"
    try:
        with eager(base):
            output = model.decoder(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=positions(mask),
                use_cache=False,
                output_attentions=True,
                logits_to_keep=1,
            )
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        return f"{missing} ({' '.join(str(error).split())[:200]})"
    square = (inputs.shape[1], inputs.shape[1])
    layers = [
        a for a in getattr(output, "attentions", None) or () if a is not None and a.shape[-2:] == square
    ]
    if not layers:
        return missing
    rows = slice(len(layout.ids) - 1, None)
    return torch.stack([part[0].float().mean(0)[rows] @ one_hot for part in layers]).cpu()
