"""How the teacher is read off the decoder: at a token, behind a prompt, or as a mean, at any layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import FAMILIES, PAIRS
from pydantic import ValidationError

from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder, transformer_blocks
from llink_ray.settings import DecoderSettings, TeacherSettings

TEXTS = [pair.english for pair in PAIRS[:5]] + ["No."]


def load(folder: Path | str, **teacher: Any) -> Decoder:
    return Decoder.load(DecoderSettings.model_validate({"model": str(folder), "teacher": teacher}))


def hidden(decoder: Decoder, text: str) -> tuple[torch.Tensor, ...]:
    """States (1, T, d) of every layer by the model's own account."""
    ids = decoder.tokenizer(text)["input_ids"]
    start = decoder.tokenizer.bos_token_id
    if start is not None and ids[:1] != [start]:
        ids = [start, *ids]
    with torch.inference_mode():
        found = decoder.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    states: tuple[torch.Tensor, ...] = found.hidden_states
    return states


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [1, None])
def test_the_mean_is_over_the_sentence_without_its_first_token(
    zoo: Path, family: str, layer: int | None
) -> None:
    decoder = load(zoo / family, read_out="mean", layer=layer)
    got = decoder.teacher_states(TEXTS)  # one batch, padded
    for text, row in zip(TEXTS, got, strict=True):
        states = hidden(decoder, text)[-1 if layer is None else layer][0]  # (T, d)
        expected = states[1:].mean(0) if len(states) > 1 else states[0]
        assert torch.allclose(row, expected, atol=1e-4)


@pytest.mark.parametrize("layer", [1, None])
def test_the_last_token_of_a_prompt(zoo: Path, layer: int | None) -> None:
    prompt = 'This sentence: "{text}" means in one word: "'
    decoder = load("embedded", read_out="last", layer=layer, prompt=prompt)
    before, after = prompt.split("{text}")
    got = decoder.teacher_states(TEXTS)
    for text, row in zip(TEXTS, got, strict=True):
        body = decoder.tokenizer(text)["input_ids"]
        ids = [*decoder.prompt_builder.token_ids(before), *body, *decoder.prompt_builder.token_ids(after)]
        start = decoder.tokenizer.bos_token_id
        ids = ids if start is None or ids[:1] == [start] else [start, *ids]
        with torch.inference_mode():
            states = decoder.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        assert torch.allclose(row, states[-1 if layer is None else layer][0, -1], atol=1e-4)


def test_a_lower_layer_does_not_run_the_ones_above() -> None:
    decoder = load("embedded", read_out="mean", layer=1)
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, block in enumerate(transformer_blocks(decoder.model))
    ]
    decoder.teacher_states(TEXTS)
    for hook in hooks:
        hook.remove()
    assert ran == [0]
    assert decoder.answer_english([("Translate this into English.", "No.")], 1, 4), "and decodes as before"


@pytest.mark.parametrize("read_out", ["token", "last", "mean"])
def test_the_batch_does_not_change_it(read_out: str) -> None:
    decoder = load("embedded", read_out=read_out, layer=1)
    singly = torch.cat([decoder.teacher_states([text]) for text in TEXTS])
    assert torch.allclose(decoder.teacher_states(TEXTS), singly, atol=1e-4)


def test_a_layer_by_its_depth() -> None:
    decoder = load("embedded", read_out="mean", layer=1)
    count = len(transformer_blocks(decoder.model))
    by_number, last = decoder.teacher_states(TEXTS), load("embedded", read_out="mean").teacher_states(TEXTS)
    for depth, expected in ((1 / count, by_number), (0.01, by_number), (1.0, last)):
        assert torch.equal(load("embedded", read_out="mean", depth=depth).teacher_states(TEXTS), expected)


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(LlinkError, match=r"decoder\.teacher\.layer is 99, but this decoder has \d+ layers"):
        load("embedded", read_out="mean", layer=99).teacher_states(TEXTS)


def test_a_prompt_without_the_text() -> None:
    with pytest.raises(ValidationError, match=r"write \{text\} once"):
        TeacherSettings(read_out="last", prompt="Summarise:")
