"""Decoders of other families and encoders of another make go the whole way: no code knows their names."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_zoo import FAMILIES, PAIRS, Lesson

from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder, without_adapters
from llink_ray.models.llink import with_lora
from llink_ray.settings import DecoderSettings, LoraSettings

Lessons = Callable[[str], Lesson]


@pytest.mark.parametrize("family", FAMILIES)
def test_trains_and_answers(lesson: Lessons, family: str) -> None:
    learned = lesson(family)
    for told in (learned.stage_a, learned.stage_b):
        assert len(told) == 5
        assert all(math.isfinite(value) for step in told for value in step.values())
    assert learned.stage_b[-1]["loss/supervised"] < learned.stage_b[0]["loss/supervised"] - 0.1
    answers = learned.taught.translate([pair.foreign for pair in PAIRS[:3]])
    assert len(answers) == 3 and all(isinstance(answer, str) for answer in answers)
    assert learned.taught.embed([pair.foreign for pair in PAIRS[:3]]).shape == (3, learned.taught.decoder.dim)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_are_on_every_layer_but_not_on_the_output(lesson: Lessons, family: str) -> None:
    model = lesson(family).taught.model.decoder
    names = {name for name, p in model.named_parameters() if p.requires_grad or "lora" in name}
    assert names and all("lora_" in name for name in names)
    assert all(any(f".{layer}." in name for name in names) for layer in (0, 1))
    heads = ("lm_head", "embed_out", "embed_tokens", "wte", "wpe")
    assert not any(head in name for name in names for head in heads)


@pytest.mark.parametrize("family", FAMILIES)
def test_teacher_states_do_not_depend_on_the_batch(zoo: Path, family: str) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(zoo / family)))
    texts = [pair.english for pair in PAIRS[:6]] + ["A", ""]
    together = decoder.teacher_states(texts)
    alone = torch.cat([decoder.teacher_states([text]) for text in texts])
    assert together.shape == (8, decoder.dim) and together.dtype == torch.float32
    assert torch.allclose(together, alone, atol=1e-4)
    assert (together[:, None] - together[None]).norm(dim=-1)[~torch.eye(8, dtype=torch.bool)].min() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_teacher_reads_the_text_then_the_read_out_token(zoo: Path, family: str) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(zoo / family), max_teacher_tokens=8))
    table = decoder.model.get_input_embeddings()
    known = decoder.tokenizer.get_vocab().get("<foreign_emb>")
    assert (known is not None) == (family == "gemma")
    everything = table(torch.arange(table.weight.shape[0]))
    last = everything[known] if known is not None else everything.mean(0)
    start = decoder.tokenizer.bos_token_id
    ids = decoder.prompt_builder.token_ids(PAIRS[1].english)[:8]
    whole = [*([start] if start is not None else []), *ids]
    with torch.no_grad():
        inputs = torch.cat([table(torch.tensor([whole])), last.expand(1, 1, -1)], dim=1)
        states = decoder.model(inputs_embeds=inputs, output_hidden_states=True).hidden_states[-1]
    found = decoder.teacher_states([PAIRS[1].english, "Another one of another length."])
    assert torch.allclose(found[0], states[0, -1], atol=1e-4)
    assert decoder.token_counts([PAIRS[1].english]) == [len(whole) + 1]


def test_embedding_norm_is_that_of_the_first_layer_s_input(zoo: Path) -> None:
    for family, factor in (("qwen2", 1.0), ("gemma", math.sqrt(32))):  # Gemma scales what it looks up
        decoder = Decoder.load(DecoderSettings(model=str(zoo / family)))
        raw = decoder.model.get_input_embeddings().weight.norm(dim=-1).median()
        assert decoder.embedding_norm() == pytest.approx(float(raw) * factor, rel=1e-3)


def test_targets_that_a_decoder_lacks(zoo: Path) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(zoo / "gpt-neox")))
    with pytest.raises(LlinkError, match=r"lora\.targets.*no layers.*all-linear"):
        with_lora(decoder.model, LoraSettings(targets=("q_proj", "v_proj")))


def test_a_model_s_own_repetition_penalty_does_not_bend_greedy_answers(zoo: Path) -> None:
    asked = [("How many apples?", "30 30 30"), ("Who?", "the old farmer")]
    plain = Decoder.load(DecoderSettings(model=str(zoo / "qwen2")))
    bent = Decoder.load(DecoderSettings(model=str(zoo / "qwen2")))
    bent.model.generation_config.repetition_penalty = 3.0
    assert bent.answer_english(asked, 2, 12) == plain.answer_english(asked, 2, 12)


@pytest.mark.parametrize("family", FAMILIES)
def test_ends_and_pads(zoo: Path, family: str) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(zoo / family)))
    ends = {"qwen2": ["<|over|>"], "gemma": ["<eos>", "<|over|>"]}.get(family, ["<|endoftext|>"])
    assert sorted(decoder.tokenizer.convert_ids_to_tokens(decoder.stop_ids())) == sorted(ends)
    assert decoder.prompt_builder.end_id in decoder.stop_ids()
    if family != "gpt-neox":  # it has no pad token and few tokens to choose from
        assert decoder.pad_id() not in decoder.stop_ids()


def test_the_frozen_decoder_answers_as_itself_when_adapters_are_on_it(zoo: Path) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(zoo / "qwen2")))
    asked, texts = [("Who?", "the old farmer")], [PAIRS[0].english]
    answer, states = decoder.answer_english(asked, 1, 12), decoder.teacher_states(texts)
    adapted = with_lora(decoder.model, LoraSettings(rank=4)).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    ids = torch.tensor([decoder.prompt_builder.token_ids("the old farmer")])
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    with torch.no_grad():
        bent = adapted(input_ids=ids).logits
        assert torch.equal(decoder.teacher_states(texts), states)
        assert decoder.answer_english(asked, 1, 12) == answer
        assert torch.equal(adapted(input_ids=ids).logits, bent)
        with without_adapters(decoder.model):
            assert not torch.allclose(adapted(input_ids=ids).logits, bent)
    assert trained == {name for name, p in adapted.named_parameters() if p.requires_grad} != set()
