"""Messages of several sentences: trained on, answered, measured; in any batch the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_zoo import Lesson, learn, small_settings

from llink_ray.corpus.phrasebook import pairs as phrasebook
from llink_ray.errors import LlinkError
from llink_ray.evaluation.passages import passages
from llink_ray.models.llink import collate
from llink_ray.models.slots import Slots
from llink_ray.prompts import SLOT_ID
from llink_ray.prompts.instructions import evaluation_examples, in_passages
from llink_ray.training.examples import tokenise

PAIRS = phrasebook("bo", 40, seed=0)
EVALUATION = {"max_new_tokens": 6, "passages": 40, "batch_size": 8}


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    settings = small_settings(
        "embedded",
        "embedded",
        slots={"max_sentences": 6},
        stage_b={"passage_share": 0.6, "passage_sentences": 4},
        evaluation=EVALUATION,
    )
    return learn(settings, PAIRS)


def test_passages_are_learned_from(lesson: Lesson) -> None:
    losses = [step["loss/supervised"] for step in lesson.stage_b]
    assert sum(losses[-3:]) < sum(losses[:3])


def test_training_and_use_write_the_same_prompt(lesson: Lesson) -> None:
    pipeline = lesson.taught
    examples = in_passages(evaluation_examples(PAIRS, 20, 0), PAIRS, 1.0, 4, 0.4, "a")
    rows = tokenise(pipeline.decoder.prompt_builder, examples, pipeline.settings.slots, None)
    for example, row in zip(examples, rows, strict=True):
        parts = pipeline.segments(example.text)
        assert parts == example.segments
        assert row.prompt == pipeline.decoder.prompt_builder.slot_prompt(
            example.instruction, parts, pipeline.settings.slots
        )
        each = pipeline.settings.slots.count + 2
        assert row.prompt.count(SLOT_ID) == each * len(row.pairs) == each * len(row.words)


def test_slots_stand_in_the_order_of_the_sentences(lesson: Lesson) -> None:
    pipeline, texts = lesson.taught, [pair.foreign for pair in PAIRS[:3]]
    parts = pipeline.segments(" ".join(texts))
    ids = pipeline.decoder.prompt_builder.slot_prompt("Who?", parts, pipeline.settings.slots)
    prompts = collate([ids, ids[:-1]])
    with torch.no_grad():
        slots = pipeline.model.soft_slots(pipeline.encode(texts)).vectors  # (3, K, d)
        embedded = pipeline.model.embed(prompts, Slots(torch.cat([slots, slots.flip(0)])))  # (2, S, d)
        rows = pipeline.model.slots.prompt_rows
        assert torch.equal(embedded[0][prompts.ids[0] == SLOT_ID], rows(Slots(slots)))
        assert torch.equal(embedded[1][prompts.ids[1] == SLOT_ID], rows(Slots(slots.flip(0))))


def test_the_batch_changes_nothing(lesson: Lesson) -> None:
    one, two, three = (pair.foreign for pair in PAIRS[:3])
    asked = [
        ("Sentence 2: Who?", f"{one} {two} {three}"),
        ("Who?", one),
        ("Sentence 1: Where?", f"{two} Nobody knows why."),
        ("What does this say?", "Only English stands here."),
        ("Sentence 2: Where?", f"I wonder. {three}"),
    ]
    alone = lesson.taught.answer_all(asked, 1)
    assert lesson.taught.answer_all(asked, 5) == alone
    assert lesson.taught.answer_all(asked[::-1], 2) == alone[::-1]


def test_a_message_that_is_too_long_is_refused(lesson: Lesson) -> None:
    with pytest.raises(LlinkError, match="has 7 Tibetan sentences, and 6 fit"):
        lesson.taught.answer("Who?", " ".join(pair.foreign for pair in PAIRS[:7]))


def test_figures_of_passages_and_mixed_messages(lesson: Lesson) -> None:
    found: dict[str, Any] = passages(lesson.taught, PAIRS)
    sizes = found["passages"]["by_sentences"]
    assert set(sizes) == {"2", "3", "4", "5", "6"}
    assert sum(part["count"] for part in sizes.values()) == found["passages"]["count"] == 40
    right = sum(part["exact"] * part["count"] for part in sizes.values())
    assert found["passages"]["exact"] == pytest.approx(right / 40)
    assert found["mixed"]["count"] == 40 and 0 <= found["mixed"]["alone"] <= 1


def test_no_passages_where_a_message_is_one_text(lesson: Lesson) -> None:
    settings = small_settings(
        "embedded", "embedded", slots={"max_sentences": 1}, stage_b={"passage_share": 0.0}
    )
    pipeline = lesson.taught
    plain = type(pipeline)(pipeline.encoder, pipeline.decoder, pipeline.model, settings, pipeline.language)
    assert passages(plain, PAIRS) == {}
