"""All figures of one model on held-out pairs, and the two that only models can give: gain and cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_zoo import Lesson, learn, small_settings

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.phrasebook import pairs as phrasebook
from llink_ray.evaluation.measure import measure, slot_gain
from llink_ray.metrics.answers import Answer
from llink_ray.models.llink import IGNORED, collate
from llink_ray.models.slots import Slots
from llink_ray.prompts.instructions import Example, evaluation_examples
from llink_ray.training.examples import tokenise

Measured = tuple[dict[str, Any], list[tuple[str, Answer]]]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return phrasebook("bo", 40, seed=0)


@pytest.fixture(scope="module")
def lesson(pairs: list[Pair]) -> Lesson:
    evaluation = {
        "batch_size": 4,
        "max_new_tokens": 6,
        "answers": 12,
        "translations": 5,
        "gain_examples": 9,
        "retrieval_pairs": 16,
    }
    return learn(small_settings("embedded", "embedded", evaluation=evaluation), pairs[20:])


@pytest.fixture(scope="module")
def states(lesson: Lesson, pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    decoder = lesson.taught.decoder
    teacher = decoder.teacher_states([pair.english for pair in pairs[:20]])
    return teacher.numpy(), decoder.teacher_states([pair.foreign for pair in pairs[:20]]).numpy()


@pytest.fixture(scope="module")
def measured(lesson: Lesson, pairs: list[Pair], states: tuple[np.ndarray, np.ndarray]) -> Measured:
    return measure(lesson.taught, pairs[:20], *states)


def test_every_key_of_the_job_s_last_line(measured: Measured) -> None:
    metrics, _ = measured
    assert set(metrics) == {"retrieval", "answers", "fidelity", "slot_gain", "tokens"}
    assert set(metrics["retrieval"]) == {"base", "stage_a", "stage_ab"}
    for figures in metrics["retrieval"].values():
        assert {"r1", "r5", "r10", "mrr", "mean_rank"} <= set(figures)
        assert figures["count"] == 16
        assert 0 <= figures["r1"] <= figures["r5"] <= figures["r10"] <= 1
    assert {"exact", "f1", "numbers", "by_type"} <= set(metrics["answers"])
    assert set(metrics["slot_gain"]) == {"zero", "shuffle"}
    assert {"raw", "slots"} <= set(metrics["tokens"])


def test_answers_are_kept_with_their_texts(lesson: Lesson, measured: Measured, pairs: list[Pair]) -> None:
    metrics, kept = measured
    assert len(kept) == 12 + 5
    known = {pair.foreign: pair for pair in pairs[:20]}
    for text, answer in kept:
        asked = {(q.kind, q.instruction, q.answer) for q in known[text].questions}
        if answer.kind != "translate":
            assert (answer.kind, answer.instruction, answer.expected) in asked
        else:
            assert answer.expected == known[text].english
        assert answer.given == lesson.taught.answer(answer.instruction, text)
    assert sum(kind["count"] for kind in metrics["answers"]["by_type"].values()) == 17


def test_retrieval_is_of_the_right_vectors(
    lesson: Lesson, measured: Measured, pairs: list[Pair], states: tuple[np.ndarray, np.ndarray]
) -> None:
    teacher, raw = states

    def r1(queries: np.ndarray) -> float:
        unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, teacher[:16])]
        return float(((unit[0] @ unit[1].T).argmax(1) == np.arange(16)).mean())

    figures = measured[0]["retrieval"]
    assert figures["base"]["r1"] == pytest.approx(r1(raw[:16]))
    assert figures["stage_a"]["r1"] == pytest.approx(r1(lesson.taught.embed([p.foreign for p in pairs[:16]])))
    assert figures["stage_a"] != figures["stage_ab"]


def test_tokens_raw_against_slots(lesson: Lesson, measured: Measured, pairs: list[Pair]) -> None:
    prompt, slots = lesson.taught.decoder.prompt_builder, lesson.taught.settings.slots
    kept = [(answer.instruction, text) for text, answer in measured[1]]
    raw = np.mean([len(prompt.text_prompt(*asked)) for asked in kept])
    assert measured[0]["tokens"]["raw"] == pytest.approx(raw)
    assert measured[0]["tokens"]["slots"] == pytest.approx(
        np.mean([len(prompt.slot_prompt(*a, slots)) for a in kept])
    )
    assert measured[0]["tokens"]["slots"] < raw


def nats(pipeline: LlinkPipeline, example: Example, slots: Slots) -> tuple[float, int]:
    """Loss of one answer with given slots, token by token."""
    [row] = tokenise(pipeline.decoder.prompt_builder, [example], pipeline.settings.slots, None)
    prompts = collate([row.prompt], [row.answer])
    with torch.no_grad():
        logits = pipeline.model.decode(pipeline.model.embed(prompts, slots), prompts.mask)[0]
    labels = prompts.labels[0].tolist()
    total = 0.0
    for place, label in enumerate(labels):
        if label != IGNORED:
            total -= float(logits[place - 1].double().log_softmax(-1)[label])
    return total, len(row.answer)


@pytest.mark.parametrize("count", [2, 8, 10])
def test_slot_gain_is_loss_ablated_minus_loss_with(lesson: Lesson, pairs: list[Pair], count: int) -> None:
    pipeline = lesson.taught
    examples = evaluation_examples(pairs[:20], count, 0)
    with torch.no_grad():
        own = [pipeline.model.soft_slots(pipeline.encode([e.foreign])) for e in examples]
    sums, answer_tokens = {"with": 0.0, "zero": 0.0, "shuffle": 0.0}, 0
    for i, example in enumerate(examples):
        first = i // 4 * 4  # batches of evaluation.batch_size
        last = min(first + 4, len(examples)) - 1
        neighbour = own[last if i == first else i - 1]
        for name, slots in (
            ("with", own[i]),
            ("zero", Slots(torch.zeros_like(own[i].vectors))),
            ("shuffle", neighbour),
        ):
            total, length = nats(pipeline, example, slots)
            sums[name] += total
        answer_tokens += length
    gain = slot_gain(pipeline, examples)
    for name in ("zero", "shuffle"):
        assert gain[name] == pytest.approx((sums[name] - sums["with"]) / answer_tokens, abs=1e-4)
    assert gain["zero"] != gain["shuffle"]


def test_a_lone_example_has_no_neighbour_to_borrow_from(lesson: Lesson, pairs: list[Pair]) -> None:
    assert slot_gain(lesson.taught, evaluation_examples(pairs, 1, 0)) == {}
    five, four = (slot_gain(lesson.taught, evaluation_examples(pairs, n, 0)) for n in (5, 4))
    assert five == pytest.approx(four)  # the fifth would stand alone in its batch
