"""Direct fine-tuning, the baseline: the same job without slots, on the raw text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import PAIRS, Lesson, learn, small_settings, write_taught

import llink_ray
from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.evaluation.measure import measure, measure_unseen
from llink_ray.metrics.retrieval import retrieval
from llink_ray.models.llink import collate
from llink_ray.prompts import SLOT_ID
from llink_ray.training.examples import tokenise

TEXTS = [pair.foreign for pair in PAIRS[:6]]


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    evaluation = {"max_new_tokens": 6, "answers": 12, "translations": 5, "retrieval_pairs": 16}
    return learn(small_settings("embedded", "embedded", slots={"variant": "none"}, evaluation=evaluation))


def test_only_adapters_learn_and_they_do(lesson: Lesson) -> None:
    losses = [step["loss/supervised"] for step in lesson.stage_b]
    assert sum(losses[-3:]) < sum(losses[:3])
    assert set(lesson.stage_b[0]) == {"loss", "loss/supervised", "learning_rate", "gradient_norm"}
    trained = [name for name, p in lesson.taught.model.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in name for name in trained)


def test_the_text_stands_in_the_prompt(lesson: Lesson) -> None:
    prompt, slots = lesson.taught.decoder.prompt_builder, lesson.taught.settings.slots
    ids = prompt.slot_prompt("Who?", TEXTS[0], slots)
    assert SLOT_ID not in ids and ids == prompt.text_prompt("Who?", TEXTS[0])
    assert TEXTS[0] in prompt.tokenizer.decode(ids)


def test_the_batch_changes_nothing(lesson: Lesson) -> None:
    pipeline = lesson.taught
    asked = [("Who?", text) for text in TEXTS]
    assert pipeline.answer_all(asked, 1) == pipeline.answer_all(asked, 6)


def test_figures_are_those_of_a_decoder_without_slots(lesson: Lesson) -> None:
    pairs = list(PAIRS[:20])
    decoder = lesson.taught.decoder
    teacher = decoder.teacher_states([pair.english for pair in pairs]).numpy()
    raw = decoder.teacher_states([pair.foreign for pair in pairs]).numpy()
    metrics: dict[str, Any] = measure(lesson.taught, pairs, teacher, raw)[0]
    assert set(metrics["retrieval"]) == {"base", "direct"}
    assert metrics["slot_gain"] == {}
    assert metrics["tokens"]["raw"] == metrics["tokens"]["slots"]
    adapted = decoder.teacher_states([PAIRS[0].foreign], adapted=True)
    assert not torch.allclose(adapted, torch.from_numpy(raw[:1]), atol=1e-3)


def test_logits_are_the_adapted_decoder_s(lesson: Lesson) -> None:
    pipeline = lesson.taught
    ids = pipeline.decoder.prompt_builder.text_prompt("Who?", TEXTS[0])
    with torch.no_grad():
        expected = pipeline.model.decoder(input_ids=torch.tensor([ids])).logits
        found = pipeline.model(collate([ids]), pipeline.encode(TEXTS[:1]))
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_bundle_without_slots_answers_the_same(lesson: Lesson, tmp_path: Path) -> None:
    loaded = llink_ray.load(write_taught(tmp_path / "bundle", lesson.taught))
    assert loaded.answer("Who?", TEXTS) == lesson.taught.answer("Who?", TEXTS)


def test_examples_are_those_of_the_other_variants(lesson: Lesson) -> None:
    from llink_ray.prompts.instructions import training_examples

    drawn = training_examples(PAIRS[:5], 0, 0, 0.3, 1)
    own, other = (
        tokenise(lesson.taught.decoder.prompt_builder, drawn, slots, None)
        for slots in (lesson.taught.settings.slots, small_settings("embedded", "embedded").slots)
    )
    assert [row.answer for row in own] == [row.answer for row in other]
    assert all(len(a.prompt) > len(b.prompt) for a, b in zip(own, other, strict=True))


def test_the_ceiling_is_measured_on_the_english(lesson: Lesson) -> None:
    pipeline, pairs = lesson.taught, list(PAIRS[:20])
    stage_b = pipeline.settings.stage_b.model_copy(update={"source": "english"})
    settings = pipeline.settings.model_copy(update={"stage_b": stage_b})
    reader = LlinkPipeline(pipeline.encoder, pipeline.decoder, pipeline.model, settings, "bo")
    teacher, raw = (
        pipeline.decoder.teacher_states(texts).numpy()
        for texts in ([p.english for p in pairs], [p.foreign for p in pairs])
    )
    metrics, answers = measure(reader, pairs, teacher, raw)
    assert metrics["tokens"]["raw"] == measure(pipeline, pairs, teacher, raw)[0]["tokens"]["raw"]
    own = pipeline.decoder.teacher_states([p.english for p in pairs[:16]], adapted=True)
    assert metrics["retrieval"]["direct"] == retrieval(own, teacher[:16]).as_dict()
    meanings = {pair.foreign: pair.english for pair in pairs}
    for text, answer in answers[:6]:
        assert answer.given == pipeline.answer(answer.instruction, meanings[text])


def test_other_text_is_measured_as_the_test_pairs_are(lesson: Lesson) -> None:
    pairs, decoder = list(PAIRS[:20]), lesson.taught.decoder
    teacher = decoder.teacher_states([pair.english for pair in pairs]).numpy()
    raw = decoder.teacher_states([pair.foreign for pair in pairs]).numpy()
    metrics = measure(lesson.taught, pairs, teacher, raw)[0]
    apart = measure_unseen(lesson.taught, pairs, teacher, raw)
    assert apart == {"pairs": 20, **{key: metrics[key] for key in ("retrieval", "answers", "fidelity")}}
