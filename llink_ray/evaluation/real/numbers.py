"""A number of an English text, altered so that it could as well stand there."""

from __future__ import annotations

import random
import re

NUMBER = re.compile(r"(?<![\w.,:/-])\d+(?:,\d{3})*(?:\.\d+)?(?![\d:/]|[.,]\d)")
"""Numbers in digits that are part of no name, date, time or code."""
_TRIES = 60
_YEAR = 4


def places(text: str) -> list[re.Match[str]]:
    """Numbers of ``text`` that can be altered."""
    return list(NUMBER.finditer(text))


def altered(number: str, count: int, rng: random.Random) -> list[str]:
    """``count`` other numbers of the same width and form, or fewer where there are not as many.

    One digit or two differ; the first is never 0. Four digits in a row, most often a year, keep their
    first two, longer numbers their first.
    """
    digits = [i for i, letter in enumerate(number) if letter.isdigit()]
    kept = 2 if len(number) == len(digits) == _YEAR else int(len(digits) >= _YEAR)
    free = digits[kept:]
    found: dict[str, None] = {}
    for _ in range(_TRIES):
        if len(found) == count:
            break
        letters = list(number)
        for place in rng.sample(free, min(len(free), rng.choice((1, 1, 2)))):
            allowed = "123456789" if place == digits[0] else "0123456789"
            letters[place] = rng.choice(allowed.replace(number[place], ""))
        found["".join(letters)] = None
    return list(found)
