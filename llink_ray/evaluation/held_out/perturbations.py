"""English text with one word or number replaced by another that could as well stand there."""

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
NUMBER = re.compile(r"(?<![\w.,:/-])\d+(?:,\d{3})*(?:\.\d+)?(?![\d:/]|[.,]\d)")
"""Numbers in digits that are part of no name, date, time or code."""
NEAREST = 12
"""A substitute is drawn among so many of the most similar words."""
_STEM = 4
"""Words that begin with the same letters may mean the same."""
_ENDINGS = ("ing", "ed", "ly", "s")
_TRIES = 60
_YEAR = 4


@cache
def function_words() -> frozenset[str]:
    """English words that hold a sentence together and say nothing of what it is about."""
    text = resources.files(__package__).joinpath("function_words.txt").read_text("utf-8")
    return frozenset(text.split())


def shape(word: str) -> tuple[str, str, bool]:
    """What two words must share to replace each other: capitals, ending, vowel in front (a, an)."""
    case = "upper" if word.isupper() else "title" if word[0].isupper() else "lower"
    ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
    return case, ending, word[0].lower() in "aeiou"


class Vocabulary:
    """Content words of a corpus, by frequency and shape."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        for text in texts:
            self.counts.update(set(WORD.findall(text)))
        self._by_shape: dict[tuple[str, str, bool], list[str]] = {}
        for word in sorted(self.counts):
            if word.lower() not in function_words():
                self._by_shape.setdefault(shape(word), []).append(word)

    def content_words(self, text: str) -> list[re.Match[str]]:
        """Content words of ``text`` but for its first word, whose capital may be the sentence's."""
        words = [m for m in WORD.finditer(text) if m.group().lower() not in function_words()]
        return [match for match in words if re.search(r"\w", text[: match.start()])]

    def substitutes(self, word: str, text: str, count: int, rng: random.Random) -> list[str]:
        """``count`` other words for ``word`` of ``text``, or fewer where the corpus has not as many.

        Of the word's shape, the nearest in frequency and length; none that ``text`` has already, none that
        begins like the word or like another of them.
        """
        taken = {word.lower()[:_STEM], *(other.lower()[:_STEM] for other in WORD.findall(text))}
        pool = [w for w in self._by_shape.get(shape(word), ()) if w.lower()[:_STEM] not in taken]
        near = sorted(pool, key=lambda other: (self._distance(word, other), other))[: max(NEAREST, 2 * count)]
        rng.shuffle(near)
        by_stem: dict[str, str] = {}
        for other in near:
            by_stem.setdefault(other.lower()[:_STEM], other)
        return list(by_stem.values())[:count]

    def _distance(self, word: str, other: str) -> float:
        frequency = abs(log(self.counts[word] + 1) - log(self.counts[other] + 1))
        return frequency + abs(len(word) - len(other)) / 4


def altered_numbers(number: str, count: int, rng: random.Random) -> list[str]:
    """``count`` other numbers of the same width and form, or fewer where there are not as many.

    One digit or two differ; the first is never 0. Four digits in a row, most often a year, keep their
    first two, longer numbers their first.
    """
    digits = [i for i, letter in enumerate(number) if letter.isdigit()]
    kept = 2 if len(number) == len(digits) == _YEAR else int(len(digits) >= _YEAR)
    free = digits[kept:]
    altered: dict[str, None] = {}
    for _ in range(_TRIES):
        if len(altered) == count:
            break
        letters = list(number)
        for i in rng.sample(free, min(len(free), rng.choice((1, 1, 2)))):
            allowed = "123456789" if i == digits[0] else "0123456789"
            letters[i] = rng.choice(allowed.replace(number[i], ""))
        altered["".join(letters)] = None
    return list(altered)


def replaced(text: str, match: re.Match[str], others: Sequence[str]) -> list[str]:
    """``text`` with each of ``others`` in the place of ``match``."""
    return [text[: match.start()] + other + text[match.end() :] for other in others]
