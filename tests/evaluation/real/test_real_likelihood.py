"""Likelihoods on a shared cache are those of one plain forward, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_zoo import PAIRS, learn, small_settings, write_decoder

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.evaluation.real.likelihood import Trial
from llink_ray.evaluation.real.scorer import Asked, LoadedSystem, Side
from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import collate
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import DecoderSettings

ASKED = [Asked(TRANSLATE_INSTRUCTION, pair) for pair in PAIRS[:7]] + [Asked("Who?", None)]
CANDIDATES = [[pair.english, f"{pair.english[:20]} pears", "No", pair.english[:9]] for pair in PAIRS[:7]] + [
    ["the farmer", "the cook"]
]


def naive(speaker: LoadedSystem, asked: Asked, candidate: str) -> list[float]:
    """Prompt and answer in one forward, alone."""
    prompt, answer = list(speaker.row(asked)), speaker.decoder.prompt_builder.answer_ids(candidate)
    prompts = collate([prompt], [answer])
    with torch.inference_mode():
        if speaker.taught is None:
            embedded = speaker.decoder.model.get_input_embeddings()(prompts.ids)
        else:
            texts = speaker.slotted(asked)
            slots = speaker.taught.model.soft_slots(speaker.taught.sources(texts)) if texts else None
            embedded = speaker.taught.model.embed(prompts, slots)
        logits = speaker.model(inputs_embeds=embedded, attention_mask=prompts.mask).logits[0].float()
    told = logits.log_softmax(-1)[len(prompt) - 1 : -1]  # (T, V)
    return [float(told[i, token]) for i, token in enumerate(answer)]


@pytest.fixture(scope="module")
def taught() -> LlinkPipeline:
    return learn(small_settings("embedded", "embedded")).taught


@pytest.fixture(scope="module")
def direct() -> LlinkPipeline:
    return learn(small_settings("embedded", "embedded", slots={"variant": "none"})).taught


def check(speaker: LoadedSystem) -> None:
    wanted = [
        [naive(speaker, one, text) for text in options]
        for one, options in zip(ASKED, CANDIDATES, strict=True)
    ]
    for batch_tokens in (1, 150, 100_000):
        found = speaker.weigh(ASKED, CANDIDATES, batch_tokens)
        for row, right in zip(found, wanted, strict=True):
            assert [len(nats) for nats in row] == list(map(len, right))
            for nats, told in zip(row, right, strict=True):
                assert np.allclose(nats, told, atol=2e-3), batch_tokens


@pytest.mark.parametrize("family", ["qwen2", "gpt-neox", "gemma", "gpt2"])
def test_a_decoder_on_text(tmp_path: Path, family: str) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(write_decoder(tmp_path / family, family))))
    check(LoadedSystem(decoder, "english"))


@pytest.mark.parametrize("reads", ["foreign", "english"])
def test_a_bundle_on_slots_and_the_decoder_without_its_adapters(taught: LlinkPipeline, reads: Side) -> None:
    check(LoadedSystem(taught.decoder, "foreign", taught))
    alone = LoadedSystem(Decoder.load(taught.settings.decoder), reads)
    shared = LoadedSystem(taught.decoder, reads)  # the same weights, adapters beside them
    for a, b in zip(alone.weigh(ASKED, CANDIDATES, 500), shared.weigh(ASKED, CANDIDATES, 500), strict=True):
        for first, second in zip(a, b, strict=True):
            assert np.allclose(first, second, atol=1e-4)


def test_a_bundle_without_slots_reads_either_side(direct: LlinkPipeline) -> None:
    check(LoadedSystem(direct.decoder, "foreign", direct))
    english = LoadedSystem(direct.decoder, "english", direct)
    check(english)
    assert len(english.row(ASKED[3])) < len(LoadedSystem(direct.decoder, "foreign", direct).row(ASKED[3]))
    assert not english.slotted(ASKED[3])


def test_candidates_share_what_they_begin_with() -> None:
    assert Trial((1, 2), (), ((5, 6, 7), (5, 6, 8, 9))).shared == 2
    assert Trial((1, 2), (), ((5, 6), (5, 6, 8))).shared == 1  # each keeps a token of its own
    assert Trial((1, 2), (), ((5,), (6,))).shared == 0
    assert Trial((1, 2), (), ((5, 6, 7),)).opened == (1, 2, 5, 6)


def test_answers_and_vectors_are_the_bundle_s(taught: LlinkPipeline) -> None:
    speaker = LoadedSystem(taught.decoder, "foreign", taught)
    asked = ASKED[:6]
    longest = taught.settings.evaluation.max_new_tokens
    texts = [one.pair.foreign for one in asked if one.pair]
    assert speaker.answer(asked, 4, longest) == taught.translate(texts)
    pairs = [one.pair for one in asked if one.pair]
    assert np.allclose(speaker.vectors(pairs, 4), taught.embed(texts), atol=1e-4)
    english = [pair.english for pair in pairs]
    assert np.allclose(speaker.targets(pairs, 2), taught.decoder.teacher_states(english).numpy(), atol=1e-3)
