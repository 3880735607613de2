"""Choices between English candidates, made from parallel text alone or read from a corpus that has them."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llink_ray.corpus.pair import Pair
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.evaluation.held_out.perturbations import NUMBER, Vocabulary, altered_numbers, replaced
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION

LIKE = 12
"""Wrong sentences are drawn among so many of the nearest in length."""
WRONG = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """One right answer among wrong ones, about one pair of the list."""

    kind: str
    pair_index: int
    instruction: str
    candidates: tuple[str, ...]
    """All different."""
    correct: int
    """Index of the right one."""
    complete: bool = True
    """Whether candidates are complete answers; else they stop in mid sentence."""

    @property
    def chance(self) -> float:
        """Accuracy of a blind guess."""
        return 1 / len(self.candidates)


def which_of_four(pairs: Sequence[Pair], seed: int) -> Iterator[Choice]:
    """A pair's own English among three other sentences of the corpus of about its length."""
    keys = [sentence_key(pair.english) for pair in pairs]
    pool = sorted(
        (len(text), text, key)
        for key, text in {key: pair.english for key, pair in zip(keys, pairs, strict=True)}.items()
    )
    for index, (pair, own) in enumerate(zip(pairs, keys, strict=True)):
        near = _nearest(pool, len(pair.english), own)
        rng = _rng(seed, "which_of_four", pair)
        if len(near) >= WRONG:
            yield _choice("which_of_four", index, pair.english, rng.sample(near, WRONG), rng)


def _nearest(pool: Sequence[tuple[int, str, str]], length: int, own: str) -> list[str]:
    """The ``LIKE`` texts of a pool, sorted by length, that are nearest in length, but for the own one.

    Walks outwards from ``length``, below first where both sides are as near.
    """
    above = bisect_left(pool, (length, ""))
    below = above - 1
    nearest: list[tuple[int, str]] = []
    while below >= 0 or above < len(pool):
        down = length - pool[below][0] if below >= 0 else None
        up = pool[above][0] - length if above < len(pool) else None
        nearer_above = down is None or (up is not None and up < down)
        distance = up if nearer_above else down
        assert distance is not None
        if len(nearest) >= LIKE and distance > nearest[-1][0]:
            break
        _, text, key = pool[above if nearer_above else below]
        above, below = above + nearer_above, below - (not nearer_above)
        if key != own:
            nearest.append((distance, text))
    return [text for _, text in sorted(nearest)[:LIKE]]


def near_miss(pairs: Sequence[Pair], seed: int) -> Iterator[Choice]:
    """A pair's own English against the same with one content word swapped for another of the corpus."""
    for index, text, others, match, rng in _with_substitutes(pairs, "near_miss", seed, 1):
        yield _choice("near_miss", index, text, replaced(text, match, others), rng)


def cloze(pairs: Sequence[Pair], seed: int) -> Iterator[Choice]:
    """Which of four words of the corpus goes on a pair's English, given up to that word."""
    for index, text, others, match, rng in _with_substitutes(pairs, "cloze", seed, WRONG):
        before = text[: match.start()]
        yield _choice("cloze", index, text[: match.end()], [before + word for word in others], rng, False)


def numbers(pairs: Sequence[Pair], seed: int) -> Iterator[Choice]:
    """A pair's own English against the same with one number altered, in three ways."""
    for index, pair in enumerate(pairs):
        rng, text = _rng(seed, "numbers", pair), pair.english
        matches = list(NUMBER.finditer(text))
        if not matches:
            continue
        match = rng.choice(matches)
        others = altered_numbers(match.group(), WRONG, rng)
        if len(others) == WRONG:
            yield _choice("numbers", index, text, replaced(text, match, others), rng)


def labelled(pairs: Sequence[Pair], seed: int) -> Iterator[Choice]:
    """Questions of the corpus that come with two choices or more."""
    for index, pair in enumerate(pairs):
        for question in pair.questions:
            if len(set(question.choices)) > 1:
                choices = tuple(dict.fromkeys(question.choices))
                correct = choices.index(question.answer)
                yield Choice(f"labelled:{question.kind}", index, question.instruction, choices, correct)


BUILDERS: dict[str, Callable[[Sequence[Pair], int], Iterator[Choice]]] = {
    "which_of_four": which_of_four,
    "near_miss": near_miss,
    "cloze": cloze,
    "numbers": numbers,
    "labelled": labelled,
}
"""Task -> its choices, in the order of the pairs, each determined by the pairs and the seed."""


def _with_substitutes(
    pairs: Sequence[Pair], kind: str, seed: int, count: int
) -> Iterator[tuple[int, str, list[str], re.Match[str], random.Random]]:
    """Index, English, substitutes, the word they replace, and the generator, of pairs that have ``count``."""
    vocabulary = Vocabulary(pair.english for pair in pairs)
    for index, pair in enumerate(pairs):
        rng, text = _rng(seed, kind, pair), pair.english
        matches = vocabulary.content_words(text)
        rng.shuffle(matches)
        for match in matches:
            others = vocabulary.substitutes(match.group(), text, count, rng)
            if len(others) == count:
                yield index, text, others, match, rng
                break


def _rng(seed: int, kind: str, pair: Pair) -> random.Random:
    """Seeded by the English alone: the same sentence has the same candidates in every language."""
    return random.Random(f"{seed}:{kind}:{pair.english}")


def _choice(
    kind: str, index: int, own: str, others: Sequence[str], rng: random.Random, complete: bool = True
) -> Choice:
    correct = rng.randrange(len(others) + 1)
    candidates = (*others[:correct], own, *others[correct:])
    return Choice(kind, index, TRANSLATE_INSTRUCTION, candidates, correct, complete)
