"""Words of English text that can stand for one another: of like frequency, length and shape."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from math import log

WORD = re.compile(r"(?<![\w'’-])[A-Za-z]{4,}(?![\w'’-])")
"""Words of four letters or more that are part of no compound and no contraction."""
NEAREST = 12
"""A swap is drawn among so many of the likest words."""
_STEM = 4
"""Words that begin with the same letters may mean the same."""
_ENDINGS = ("ing", "ed", "ly", "s")


@cache
def function_words() -> frozenset[str]:
    """English words that hold a sentence together and say nothing of what it is about."""
    text = resources.files(__package__).joinpath("function_words.txt").read_text("utf-8")
    return frozenset(text.split())


def shape(word: str) -> tuple[str, str, bool]:
    """What two words must share to stand in the same place: capitals, ending, vowel in front (a, an)."""
    case = "upper" if word.isupper() else "title" if word[0].isupper() else "lower"
    ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
    return case, ending, word[0].lower() in "aeiou"


class Words:
    """Content words of a corpus, by how often and in what shape they stand there."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        for text in texts:
            self.counts.update(set(WORD.findall(text)))
        self._by_shape: dict[tuple[str, str, bool], list[str]] = {}
        for word in sorted(self.counts):
            if word.lower() not in function_words():
                self._by_shape.setdefault(shape(word), []).append(word)

    def places(self, text: str) -> list[re.Match[str]]:
        """Content words of ``text``, its first word apart, whose capital may be the sentence's."""
        found = [m for m in WORD.finditer(text) if m.group().lower() not in function_words()]
        return [match for match in found if re.search(r"\w", text[: match.start()])]

    def instead(self, word: str, text: str, count: int, rng: random.Random) -> list[str]:
        """``count`` other words for ``word`` of ``text``, or fewer where the corpus has not as many.

        Of the word's shape, the nearest in frequency and length; none that ``text`` has already, none that
        begins like the word or like another of them.
        """
        taken = {word.lower()[:_STEM], *(other.lower()[:_STEM] for other in WORD.findall(text))}
        pool = [w for w in self._by_shape.get(shape(word), ()) if w.lower()[:_STEM] not in taken]
        near = sorted(pool, key=lambda other: (self._distance(word, other), other))[: max(NEAREST, 2 * count)]
        rng.shuffle(near)
        chosen: list[str] = []
        for other in near:
            if all(other.lower()[:_STEM] != one.lower()[:_STEM] for one in chosen):
                chosen.append(other)
        return chosen[:count]

    def _distance(self, word: str, other: str) -> float:
        often = abs(log(self.counts[word] + 1) - log(self.counts[other] + 1))
        return often + abs(len(word) - len(other)) / 4


def swapped(text: str, place: re.Match[str], others: Sequence[str]) -> list[str]:
    """``text`` with each of ``others`` at the place of one of its words."""
    return [text[: place.start()] + other + text[place.end() :] for other in others]
