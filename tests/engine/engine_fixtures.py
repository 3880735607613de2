"""Small languages without an encoder: random slots, and random adapters that change the answers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from model_zoo import PAIRS, small_settings
from prompt_inputs import prompt_input

from llink_ray.bundles.pipeline import LORA, LlinkPipeline, save_weights
from llink_ray.engine import Answer, EngineLimits, EngineRequest, PromptInput, SamplingParams
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, new_slots, with_lora
from llink_ray.models.projector import Projector
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION

WIDTH = 24
ASKED = [
    (asked, pair.foreign)
    for pair in PAIRS[:6]
    for asked in (pair.questions[0].instruction, TRANSLATE_INSTRUCTION)
]
LONGEST = 16
"""Tokens of an answer."""


class RandomEncoder:
    """Random states of each text, always the same; loads nothing."""

    dim = token_dim = WIDTH
    fingerprint = "0" * 64

    def encode(self, texts: list[str], with_tokens: bool = False) -> Encoded:
        states = []
        for text in texts:
            generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
            states.append(torch.randn(3, WIDTH, generator=generator))
        tokens = torch.stack(states)  # (B, 3, d)
        mask = torch.ones(len(texts), 3, dtype=torch.bool)
        return Encoded(tokens.mean(1), tokens, mask) if with_tokens else Encoded(tokens.mean(1), None, None)


@dataclass(frozen=True)
class TrainedLanguage:
    """A language's pipeline, and its adapter on disk."""

    name: str
    pipeline: LlinkPipeline
    lora: Path

    def ask(self, instruction: str, text: str, **sampling: Any) -> EngineRequest:
        """What ``pipeline.answer(instruction, text)`` reads, as a request."""
        given = SamplingParams(**{"max_tokens": LONGEST} | sampling)
        return EngineRequest(self.input(instruction, text), self.name, given)

    def input(self, instruction: str, text: str) -> PromptInput:
        return prompt_input(self.pipeline, instruction, text)


def trained_language(
    folder: Path, name: str, decoder_model: str, rank: int = 4, **lora: Any
) -> TrainedLanguage:
    """A language on a decoder of its own, with PEFT."""
    settings = small_settings(
        "embedded", decoder_model, lora={"rank": rank, **lora}, evaluation={"max_new_tokens": LONGEST}
    )
    decoder = Decoder.load(settings.decoder)
    torch.manual_seed(zlib.crc32(name.encode()))
    projector = Projector(WIDTH, decoder.dim, settings.projector)
    slots = new_slots(decoder, settings, WIDTH)
    model = LlinkModel(with_lora(decoder.model, settings.lora), projector, slots)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.normal_(0, 0.05)
    folder.mkdir(parents=True)
    save_weights(folder, projector, slots, model.decoder)
    encoder: Any = RandomEncoder()
    return TrainedLanguage(name, LlinkPipeline(encoder, decoder, model, settings, "bo"), folder / LORA)


def engine_for(languages: list[TrainedLanguage], **limits: int) -> BatchedEngine:
    """An engine on a plain decoder with all their adapters."""
    engine = BatchedEngine(Decoder.load(languages[0].pipeline.settings.decoder), EngineLimits(**limits))
    for one in languages:
        engine.load_adapter(one.name, one.lora)
    return engine


def base(decoder: Decoder, instruction: str, text: str, **sampling: Any) -> EngineRequest:
    """A prompt that holds the text itself, for the decoder without adapters."""
    given = SamplingParams(**{"max_tokens": LONGEST} | sampling)
    return EngineRequest(
        PromptInput(tuple(decoder.prompt_builder.text_prompt(instruction, text))), None, given
    )


def drain(engine: BatchedEngine) -> None:
    """Drive it by hand until nothing is left."""
    while engine.step():
        pass


def same(answer: Answer, expected: str) -> bool:
    """The pipeline's own text; where it was cut inside a character, without what is left of that."""
    if answer.finish.reason != "length":
        return answer.text == expected
    rest = expected[len(answer.text) :]
    return expected.startswith(answer.text) and not rest.strip().strip("\ufffd") and rest.count("\ufffd") <= 3
