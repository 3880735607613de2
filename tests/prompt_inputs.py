"""Prompts for engines, and what PEFT alone makes of them: the reference that engines are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.engine import PromptInput
from llink_ray.prompts import SLOT_ID
from llink_ray.text.languages import find


@torch.inference_mode()
def prompt_input(pipeline: LlinkPipeline, instruction: str, text: str) -> PromptInput:
    """What ``pipeline.answer(instruction, text)`` reads."""
    parts = pipeline.segments(text)
    ids = pipeline.decoder.prompt_builder.slot_prompt(
        instruction, parts, pipeline.settings.slots, find(pipeline.language)
    )
    sources = pipeline.encode([part.text for part in parts if part.foreign])
    rows = pipeline.model.slots.prompt_rows(pipeline.model.soft_slots(sources))
    return PromptInput(tuple(ids), rows.float().numpy())


@torch.inference_mode()
def peft_logprobs(pipeline: LlinkPipeline, prompt: PromptInput, more: Sequence[int] = ()) -> torch.Tensor:
    """Log-probabilities (S + T, V) behind each of the prompt's S tokens and of T ``more``."""
    ids = torch.tensor([*prompt.ids, *more])
    embedded = pipeline.decoder.model.get_input_embeddings()(ids.clamp(min=0))
    if prompt.slots is not None:
        embedded[ids == SLOT_ID] = torch.tensor(prompt.slots)
    logits: torch.Tensor = pipeline.model.decoder(inputs_embeds=embedded[None]).logits[0]
    return logits.float().log_softmax(-1)


def nll(pipeline: LlinkPipeline, prompt: PromptInput, answer: Sequence[int]) -> float:
    """Mean negative log-likelihood of the answer's tokens behind a prompt."""
    logprobs = peft_logprobs(pipeline, prompt, answer)[-len(answer) - 1 : -1]
    return -float(logprobs.gather(1, torch.tensor(answer)[:, None]).mean())
