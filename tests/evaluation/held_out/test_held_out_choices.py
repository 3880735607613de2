"""Choices made from parallel text: different, not given away by their form, the same for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from llink_ray.corpus import phrasebook
from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.evaluation.held_out import choices as module
from llink_ray.evaluation.held_out.choices import BUILDERS, Choice
from llink_ray.evaluation.held_out.perturbations import (
    NUMBER,
    Vocabulary,
    altered_numbers,
    function_words,
    shape,
)

PAIRS = phrasebook.pairs("bo", 120, seed=3)
FROM_TEXT = ("which_of_four", "near_miss", "cloze", "numbers")


def choices(task: str, pairs: list[Pair] = PAIRS, seed: int = 0) -> list[Choice]:
    return list(BUILDERS[task](pairs, seed))


@pytest.mark.parametrize("task", FROM_TEXT)
def test_candidates_differ_and_the_right_one_is_the_pair_s_own(task: str) -> None:
    found = choices(task)
    assert len(found) > 20
    for choice in found:
        own = PAIRS[choice.pair_index].english
        assert own.startswith(choice.candidates[choice.correct])
        assert (own == choice.candidates[choice.correct]) is choice.complete
        assert len(set(map(sentence_key, choice.candidates))) == len(choice.candidates)
        assert len(choice.candidates) == (2 if task == "near_miss" else 4)
    places = [choice.correct for choice in found]
    assert set(places) == set(range(len(found[0].candidates)))  # every place comes up


@pytest.mark.parametrize("task", FROM_TEXT)
def test_same_seed_same_choices_whatever_the_language_beside(task: str) -> None:
    assert choices(task) == choices(task)
    assert choices(task) != choices(task, seed=1)
    other = [Pair("ខ្មែរ", pair.english) for pair in PAIRS]
    assert choices(task, other) == choices(task)


def test_wrong_sentences_are_the_nearest_in_length_and_each_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six thousand pairs compared with each other would take an hour."""
    rng, read = random.Random(5), list[str]()

    def recorded(text: str) -> str:
        read.append(text)
        return sentence_key(text)

    monkeypatch.setattr(module, "sentence_key", recorded)
    words = [" ".join(rng.choices(["ab", "bc", "cde", "fghi", "j"], k=rng.randint(1, 7))) for _ in range(300)]
    pairs = [Pair("x", text) for text in words]
    found = choices("which_of_four", pairs)
    assert len(read) == len(pairs)
    for choice in found:
        own = words[choice.pair_index]
        others = {sentence_key(text): text for text in words}
        others.pop(sentence_key(own))
        nearest = sorted(others.values(), key=lambda text: (abs(len(text) - len(own)), text))[: module.LIKE]
        assert set(choice.candidates) - {own} <= set(nearest)
        drawn = module._rng(0, "which_of_four", pairs[choice.pair_index]).sample(nearest, module.WRONG)
        assert set(choice.candidates) == {own, *drawn}


def test_wrong_sentences_are_about_as_long() -> None:
    pairs = [Pair("x", "word " * n + "end.") for n in range(1, 60)]
    for choice in choices("which_of_four", pairs):
        own = len(choice.candidates[choice.correct])
        assert all(abs(len(text) - own) <= 12 * 5 for text in choice.candidates)


def test_repeated_sentences_are_no_wrong_answers() -> None:
    pairs = [Pair(str(n), text) for n, text in enumerate(["A b!", "a B", "C d", "E f", "G h"])]
    for choice in choices("which_of_four", pairs)[:2]:
        assert {sentence_key(text) for text in choice.candidates} == {"ab", "cd", "ef", "gh"}
    assert choices("which_of_four", pairs[:3]) == []  # too few sentences


@pytest.mark.parametrize("task", ["near_miss", "cloze"])
def test_a_swapped_word_is_of_the_same_shape_and_new_to_the_sentence(task: str) -> None:
    for choice in choices(task):
        own = PAIRS[choice.pair_index].english
        texts = [text.split() for text in choice.candidates]
        changed = [
            {words[i] for words in texts} for i in range(len(texts[0])) if len({w[i] for w in texts}) > 1
        ]
        assert len(changed) == 1, "one word is another"
        words = [word.strip(".,!?") for word in changed[0]]
        assert len({shape(word) for word in words}) == 1
        assert sum(word in own for word in words) == 1
        assert not function_words().intersection(map(str.lower, words))


COMMON = ["hammer", "tablet", "candle", "pencil", "basket", "saddle", "ribbon", "button", "carpet", "pillow"]
COMMON += ["bottle", "fiddle", "jacket"]
RARE = ["shovel", "tractor", "lantern"]


def test_words_of_like_frequency_come_first() -> None:
    often = ["The silver kettle.", *(f"The silver {word}." for word in COMMON)] * 30
    words = Vocabulary([*often, *(f"The silver {word}." for word in RARE)])
    found = words.substitutes("kettle", "The silver kettle.", 3, random.Random(0))
    assert len(found) == 3 and set(found) <= set(COMMON)
    assert words.substitutes("kettle", "The silver kettle.", 3, random.Random(0)) == found
    text = f"The silver kettle, the {' and the '.join(COMMON)}."
    assert set(words.substitutes("kettle", text, 3, random.Random(0))) <= set(
        RARE
    )  # none that is there already
    # None that begins alike, none of another ending.
    alike = Vocabulary(["kettle kettledrum running"])
    assert alike.substitutes("kettle", "A kettle.", 3, random.Random(0)) == []


def test_the_first_word_stays() -> None:
    assert [m.group() for m in Vocabulary([]).content_words('"Nobody sold silver horses."')] == [
        "sold",
        "silver",
        "horses",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30 men, 1,205 horses and 7.5 tons", ["30", "1,205", "7.5"]),
        ("at 10:30 on 1/5/2024, COVID-19, B52, v1.2.3", []),
        ("In 1995, 28-year-old", ["1995", "28"]),
    ],
)
def test_numbers_that_can_be_altered(text: str, found: list[str]) -> None:
    assert [match.group() for match in NUMBER.finditer(text)] == found


@pytest.mark.parametrize("number", ["7", "30", "1,205", "1995", "7.5", "12345"])
def test_altered_numbers_are_different_and_of_the_same_form(number: str) -> None:
    made = altered_numbers(number, 3, random.Random(0))
    assert len({number, *made}) == 4
    for other in made:
        assert re.sub(r"\d", "0", other) == re.sub(r"\d", "0", number)
        assert other[0] != "0"
        if number == "1995":
            assert other.startswith("19")


def test_labelled_questions_bring_their_choices() -> None:
    topic = Question("topic", "What is it about?", "travel", ("sports", "travel"))
    pairs = [Pair("a", "b", (topic, Question("who", "Who?", "the cook"))), Pair("c", "d")]
    assert choices("labelled", pairs) == [
        Choice("labelled:topic", 0, "What is it about?", ("sports", "travel"), 1)
    ]


@pytest.mark.parametrize("build", BUILDERS.values())
def test_no_text_no_choices(build: Callable[..., object]) -> None:
    assert list(build([], 0)) == []  # type: ignore[call-overload]
    assert list(build([Pair("a", "Go.")], 0)) == []  # type: ignore[call-overload]
