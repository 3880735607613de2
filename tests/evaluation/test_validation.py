"""Figures during training are those of the finished measurement."""

from __future__ import annotations

import pytest
import torch
from model_zoo import in_memory, learn, small_settings

from llink_ray.corpus.phrasebook import pairs as phrasebook
from llink_ray.evaluation.validation import ValidationEvaluator
from llink_ray.features import Features, ShardedRows
from llink_ray.metrics.answers import Answer, score
from llink_ray.metrics.retrieval import retrieval
from llink_ray.text.languages import find


@pytest.mark.parametrize("variant", ["resampler", "none"])
def test_figures_in_training_are_those_of_the_model_that_is_left(variant: str) -> None:
    pairs = phrasebook("bo", 60, seed=0)
    train, held = pairs[:30], pairs[30:]
    changes = {
        "slots": {"variant": variant, "count": 3, "numerals": variant != "none"},
        "stage_b": {"validation_answers": 14, "steps": 6},
        "evaluation": {"batch_size": 4, "max_new_tokens": 6},
    }
    settings = small_settings("embedded", "embedded", **changes)
    pipeline = learn(settings, train).taught
    foreign = in_memory(pipeline.encoder.encode([p.foreign for p in pairs], with_tokens=True))
    states = pipeline.decoder.teacher_states([p.english for p in pairs])
    teacher = Features("", "", ShardedRows([states.numpy()]))
    chance = torch.get_rng_state()
    evaluator = ValidationEvaluator(
        pipeline.model, pipeline.decoder, settings, find("bo"), held, foreign, teacher, offset=30
    )
    found = evaluator.evaluate()
    assert torch.equal(chance, torch.get_rng_state()), "looking must not change the training"
    given = pipeline.answer_all([(e.instruction, e.segments) for e in evaluator.examples])
    told = score(
        [
            Answer(e.kind, e.instruction, e.answer, text)
            for e, text in zip(evaluator.examples, given, strict=True)
        ]
    )
    assert len(evaluator.examples) == 14
    assert found["answers.exact"] == told["exact"] and found["answers.f1"] == pytest.approx(told["f1"])
    assert found["numbers.exact"] == told["numbers"]
    if variant == "none":
        assert found["slots"] == 0 and "retrieval.r1" not in found
        return
    assert found["slots"] == 3
    with torch.inference_mode():
        means = pipeline.model.soft_slots(pipeline.encode([p.foreign for p in held])).mean()
    ranked = retrieval(means, states[30:])
    assert found["retrieval.mrr"] == pytest.approx(ranked.mrr, abs=1e-6)


def test_pairs_without_questions_have_no_answers() -> None:
    pairs = [p.__class__(p.foreign, p.english) for p in phrasebook("bo", 20, seed=0)]
    settings = small_settings("embedded", "embedded", stage_b={"validation_answers": 5, "steps": 2})
    pipeline = learn(settings, pairs).taught
    foreign = in_memory(pipeline.encoder.encode([p.foreign for p in pairs], with_tokens=True))
    states = pipeline.decoder.teacher_states([p.english for p in pairs]).numpy()
    teacher = Features("", "", ShardedRows([states]))
    found = ValidationEvaluator(
        pipeline.model, pipeline.decoder, settings, find("bo"), pairs, foreign, teacher, 0
    ).evaluate()
    assert "answers.exact" not in found and 0 <= found["retrieval.r1"] <= 1
