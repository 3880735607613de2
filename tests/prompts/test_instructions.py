"""Drawing instructions for pairs."""

from __future__ import annotations

from collections import Counter

import pytest

from llink_ray.corpus.pair import TRANSLATION_KIND, Pair, Question
from llink_ray.prompts.instructions import (
    TRANSLATION_INSTRUCTIONS,
    Example,
    evaluation_examples,
    in_passages,
    source_pairs,
    training_examples,
    translation_examples,
)


def asking(n: int, *kinds: str) -> Pair:
    questions = tuple(Question(kind, f"{kind}?", f"{kind} {n}") for kind in kinds)
    return Pair(f"ខ {n}", f"Sentence {n}", questions)


PAIRS = [asking(n, "who", "how_many") for n in range(300)]


def test_every_example_is_one_that_its_pair_can_answer() -> None:
    for example in training_examples(PAIRS, 0, 0, 0.5, 3):
        pair = PAIRS[example.pair_index]
        assert (example.foreign, example.english) == (pair.foreign, pair.english)
        if example.kind == TRANSLATION_KIND:
            assert example.instruction in TRANSLATION_INSTRUCTIONS
            assert example.answer == pair.english
        else:
            assert Question(example.kind, example.instruction, example.answer) in pair.questions


def test_each_pair_gives_its_number_of_examples_in_order() -> None:
    indices = [example.pair_index for example in training_examples(PAIRS, 0, 0, 0.5, 3)]
    assert indices == [n for n in range(len(PAIRS)) for _ in range(3)]


@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_share_of_translations_and_questions_alike(share: float) -> None:
    examples = training_examples(PAIRS, 0, 0, share, 10)
    kinds = Counter(example.kind for example in examples)
    assert kinds[TRANSLATION_KIND] / len(examples) == pytest.approx(share, abs=0.03)
    assert kinds["who"] / len(examples) == pytest.approx((1 - share) / 2, abs=0.03)


def test_pair_without_questions_is_translated() -> None:
    examples = training_examples([asking(1)], 0, 0, 0.0, 5)
    assert [example.kind for example in examples] == [TRANSLATION_KIND] * 5


def test_seed_and_epoch_decide_and_other_pairs_do_not() -> None:
    first = training_examples(PAIRS, 0, 0, 0.5, 2)
    assert training_examples(PAIRS, 0, 0, 0.5, 2) == first
    assert training_examples(PAIRS, 1, 0, 0.5, 2) != first
    assert training_examples(PAIRS, 0, 1, 0.5, 2) != first
    # A draw hangs on the pair's index alone: a longer list changes nothing before its end.
    assert training_examples(PAIRS[:100], 0, 0, 0.5, 2) == first[:200]


def test_kinds_take_turns_until_they_run_out() -> None:
    pairs = [*(asking(n, "who") for n in range(50)), *(asking(n, "when", TRANSLATION_KIND) for n in range(3))]
    counts = Counter(example.kind for example in evaluation_examples(pairs, 10, 0))
    assert counts == {"who": 7, "when": 3}
    assert Counter(e.kind for e in evaluation_examples(pairs, 4, 0)) == {"who": 2, "when": 2}
    assert len(evaluation_examples(pairs, 1_000, 0)) == 53


def test_evaluation_is_drawn_by_seed() -> None:
    first = evaluation_examples(PAIRS, 40, 0)
    assert evaluation_examples(PAIRS, 40, 0) == first
    assert evaluation_examples(PAIRS, 40, 1) != first
    assert evaluation_examples(PAIRS, 20, 0) == first[:20]
    assert evaluation_examples([asking(1)], 40, 0) == []


def test_translations_are_of_the_first_pairs() -> None:
    assert translation_examples(PAIRS, 2) == [
        Example(TRANSLATION_KIND, TRANSLATION_INSTRUCTIONS[0], "ខ 0", "Sentence 0", "Sentence 0", 0),
        Example(TRANSLATION_KIND, TRANSLATION_INSTRUCTIONS[1], "ខ 1", "Sentence 1", "Sentence 1", 1),
    ]
    assert len(translation_examples(PAIRS[:3], 10)) == 3


def passages(share: float = 1.0, most: int = 6, english: float = 0.3, key: str = "a") -> list[Example]:
    examples = training_examples(PAIRS, 0, 0, 0.3, 1)
    return in_passages(examples, PAIRS, share, most, english, key)


def test_passages_hold_the_sentence_where_the_instruction_says() -> None:
    sizes, places, whole = Counter[int](), Counter[int](), 0
    for example, alone in zip(passages(), training_examples(PAIRS, 0, 0, 0.3, 1), strict=True):
        sentences = example.sentences
        sizes[len(sentences)] += 1
        own = sentences[len(example.before)]
        assert (own.foreign, own.pair_index, own.as_text) == (alone.foreign, alone.pair_index, False)
        for sentence in sentences:
            assert sentence.foreign == PAIRS[sentence.pair_index].foreign
            assert sentence.english == PAIRS[sentence.pair_index].english
        if example.instruction == alone.instruction:
            assert example.kind == TRANSLATION_KIND and len(sentences) <= 3
            assert example.answer == " ".join(sentence.english for sentence in sentences)
            whole += 1
            continue
        place = len(example.before) + 1
        places[place] += 1
        assert example.instruction == f"Sentence {place}: {alone.instruction}"
        assert example.answer == alone.answer
    assert set(sizes) == {2, 3, 4, 5, 6} and set(places) == {1, 2, 3, 4, 5, 6} and whole > 5


def test_other_sentences_of_a_passage_may_be_english_text() -> None:
    others = [s for e in passages() for s in (*e.before, *e.after)]
    assert sum(s.as_text for s in others) / len(others) == pytest.approx(0.3, abs=0.05)
    example = next(e for e in passages(most=2) if e.after and e.after[0].as_text)
    assert [part.foreign for part in example.segments] == [True, False]
    assert example.text == f"{example.foreign} {example.after[0].english}"
    assert not any(s.as_text for e in passages(english=0.0) for s in e.sentences)


def test_share_and_key_of_passages() -> None:
    assert passages() == passages() and passages(key="b") != passages()
    assert passages(share=0.0) == training_examples(PAIRS, 0, 0, 0.3, 1)
    share = sum(len(e.sentences) > 1 for e in passages(share=0.4)) / len(PAIRS)
    assert share == pytest.approx(0.4, abs=0.09)


def test_english_takes_the_place_of_the_foreign_text() -> None:
    shown = source_pairs(PAIRS[:9], "english")
    drawn, usual = (training_examples(pairs, 0, 0, 0.5, 2) for pairs in (shown, PAIRS[:9]))
    for example, other in zip(drawn, usual, strict=True):
        assert example.foreign == example.english == other.english
        assert (example.instruction, example.answer) == (other.instruction, other.answer)
    assert source_pairs(PAIRS[:9], "foreign") == PAIRS[:9]
