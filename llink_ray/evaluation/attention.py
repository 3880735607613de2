"""Where the decoder looks while it answers: shares of attention on slots, marks, numerals, instruction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
"""What a prompt holds besides its slots; ``answer`` is what has been said so far."""


@dataclass(frozen=True)
class Layout:
    """A prompt, and which column of the attention each of its positions counts for."""

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
    """The prompt of one text, told apart. A token that the lane shares with what follows is the lane's."""
    ids = prompt.slot_prompt(instruction, text, settings, language)
    count = settings.slot_count(text)
    marks, lane, rest, _ = (count + i for i in range(len(PARTS)))
    start = ids.index(SLOT_ID)
    after = ids[start + count + DELIMITERS :]
    plain = prompt.text_prompt(instruction, "")[start:]
    beyond = 0  # tokens at the end that are there without numerals too
    while beyond < min(len(after), len(plain)) and after[-1 - beyond] == plain[-1 - beyond]:
        beyond += 1
    named = len(after) - beyond if settings.numerals and numerals(text, language) else 0
    slots = [marks, *range(count), marks]
    return Layout(ids, [rest] * start + slots + [lane] * named + [rest] * (len(after) - named))


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """The one attention that can say where it looked; then the model's own again, whatever happens."""
    before = _chosen(model.config)
    try:
        model.set_attn_implementation("eager")
        yield
    finally:
        model.set_attn_implementation(before)


def _chosen(config: Any) -> dict[str, Any]:
    """The attention of a model and of each model within it, as ``set_attn_implementation`` takes it."""
    within = {name: getattr(config, name, None) for name in config.sub_configs}
    return {
        "": config._attn_implementation,
        **{name: _chosen(part) for name, part in within.items() if part is not None},
    }


@torch.inference_mode()
def attention(model: LlinkModel, found: Layout, slots: Slots, answer: Sequence[int]) -> torch.Tensor | str:
    """Shares of attention (L, T, K + 4), float32, mean over heads; or a sentence on why there are none.

    Row t is of the position that decided answer token t, so the first is of the prompt's last. ``slots``
    are of that text, ``answer`` the T tokens said. A row sums to 1, less what families with sinks outside of
    the text give to nothing. Layers without attention (hybrid models) are left out.
    """
    device = slots.vectors.device
    prompts = collate([found.ids]).to(device)
    embedded = model.embed(prompts, slots)  # (1, S, d)
    said = torch.tensor([answer[:-1]], dtype=torch.long, device=device)  # (1, T-1)
    told = model.decoder.get_input_embeddings()(said).to(embedded.dtype)
    whole = torch.cat([embedded, told], dim=1)  # (1, S+T-1, d)
    mask = torch.ones(whole.shape[:2], dtype=torch.long, device=device)
    count = int(slots.counts[0]) if slots.counts is not None else slots.width
    columns = torch.tensor(found.columns + [count + len(PARTS) - 1] * said.shape[1], device=device)
    which = torch.nn.functional.one_hot(columns, count + len(PARTS)).float()  # (S+T-1, K+4)
    base = model.decoder.get_base_model() if hasattr(model.decoder, "get_base_model") else model.decoder
    family = getattr(base.config, "model_type", type(base).__name__)
    none = f"decoders of the family {family!r} do not say where they look"
    try:
        with eager(base):
            given = model.decoder(
                inputs_embeds=whole,
                attention_mask=mask,
                position_ids=positions(mask),
                use_cache=False,
                output_attentions=True,
                logits_to_keep=1,
            )
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        return f"{none} ({' '.join(str(error).split())[:200]})"
    square = (whole.shape[1], whole.shape[1])
    layers = [a for a in getattr(given, "attentions", None) or () if a is not None and a.shape[-2:] == square]
    if not layers:
        return none
    rows = slice(len(found.ids) - 1, None)
    return torch.stack([part[0].float().mean(0)[rows] @ which for part in layers]).cpu()
