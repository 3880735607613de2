"""Likelihoods on a shared cache are those of one plain forward, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_zoo import PAIRS, learn, small_settings, write_decoder

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.evaluation.held_out.likelihood import ScoringRequest
from llink_ray.evaluation.held_out.loaded_system import LoadedSystem, Query, Side
from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import collate
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import DecoderSettings

QUERIES = [Query(TRANSLATE_INSTRUCTION, pair) for pair in PAIRS[:7]] + [Query("Who?", None)]
CANDIDATES = [[pair.english, f"{pair.english[:20]} pears", "No", pair.english[:9]] for pair in PAIRS[:7]] + [
    ["the farmer", "the cook"]
]


def naive(system: LoadedSystem, query: Query, candidate: str) -> list[float]:
    """Prompt and answer in one forward, alone."""
    prompt, answer = list(system.prompt_ids(query)), system.decoder.prompt_builder.answer_ids(candidate)
    prompts = collate([prompt], [answer])
    with torch.inference_mode():
        if system.pipeline is None:
            embedded = system.decoder.model.get_input_embeddings()(prompts.ids)
        else:
            pipeline = system.pipeline
            texts = [system.text(query.pair)] if query.pair else []
            slots = pipeline.model.soft_slots(pipeline.encode(texts)) if texts else None
            embedded = pipeline.model.embed(prompts, slots)
        logits = system.model(inputs_embeds=embedded, attention_mask=prompts.mask).logits[0].float()
    log_probs = logits.log_softmax(-1)[len(prompt) - 1 : -1]  # (T, V)
    return [float(log_probs[i, token]) for i, token in enumerate(answer)]


@pytest.fixture(scope="module")
def pipeline() -> LlinkPipeline:
    return learn(small_settings("embedded", "embedded")).taught


@pytest.fixture(scope="module")
def direct() -> LlinkPipeline:
    return learn(small_settings("embedded", "embedded", slots={"variant": "none"})).taught


def check(system: LoadedSystem) -> None:
    wanted = [
        [naive(system, query, text) for text in options]
        for query, options in zip(QUERIES, CANDIDATES, strict=True)
    ]
    for batch_tokens in (1, 150, 100_000):
        found = system.log_probabilities(QUERIES, CANDIDATES, batch_tokens)
        for row, right in zip(found, wanted, strict=True):
            assert [len(nats) for nats in row] == list(map(len, right))
            for nats, told in zip(row, right, strict=True):
                assert np.allclose(nats, told, atol=2e-3), batch_tokens


@pytest.mark.parametrize("family", ["qwen2", "gpt-neox", "gemma", "gpt2"])
def test_a_decoder_on_text(tmp_path: Path, family: str) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(write_decoder(tmp_path / family, family))))
    check(LoadedSystem(decoder, "english"))


@pytest.mark.parametrize("reads", ["foreign", "english"])
def test_a_bundle_on_slots_and_the_decoder_without_its_adapters(pipeline: LlinkPipeline, reads: Side) -> None:
    check(LoadedSystem(pipeline.decoder, "foreign", pipeline))
    alone = LoadedSystem(Decoder.load(pipeline.settings.decoder), reads)
    shared = LoadedSystem(pipeline.decoder, reads)  # the same weights, adapters beside them
    for a, b in zip(
        alone.log_probabilities(QUERIES, CANDIDATES, 500),
        shared.log_probabilities(QUERIES, CANDIDATES, 500),
        strict=True,
    ):
        for first, second in zip(a, b, strict=True):
            assert np.allclose(first, second, atol=1e-4)


def test_a_bundle_without_slots_reads_either_side(direct: LlinkPipeline) -> None:
    check(LoadedSystem(direct.decoder, "foreign", direct))
    english = LoadedSystem(direct.decoder, "english", direct)
    check(english)
    assert len(english.prompt_ids(QUERIES[3])) < len(
        LoadedSystem(direct.decoder, "foreign", direct).prompt_ids(QUERIES[3])
    )


def test_candidates_share_what_they_begin_with() -> None:
    assert ScoringRequest((1, 2), (), ((5, 6, 7), (5, 6, 8, 9))).shared == 2
    assert ScoringRequest((1, 2), (), ((5, 6), (5, 6, 8))).shared == 1  # each keeps a token of its own
    assert ScoringRequest((1, 2), (), ((5,), (6,))).shared == 0
    assert ScoringRequest((1, 2), (), ((5, 6, 7),)).prefix == (1, 2, 5, 6)


def test_answers_and_vectors_are_the_bundle_s(pipeline: LlinkPipeline) -> None:
    system = LoadedSystem(pipeline.decoder, "foreign", pipeline)
    pairs = PAIRS[:6]
    texts = [pair.foreign for pair in pairs]
    longest = pipeline.settings.evaluation.max_new_tokens
    questions = [(TRANSLATE_INSTRUCTION, pair) for pair in pairs]
    answers = system.answer(questions, 4, longest)
    assert answers == pipeline.translate(texts) and any(len(text.split()) > 3 for text in answers)
    assert all(len(text.split()) <= 3 for text in system.answer(questions, 4, 3))
    assert np.allclose(system.vectors(pairs, 4), pipeline.embed(texts), atol=1e-4)
    english = [pair.english for pair in pairs]
    assert np.allclose(system.targets(pairs, 2), pipeline.decoder.teacher_states(english).numpy(), atol=1e-3)
