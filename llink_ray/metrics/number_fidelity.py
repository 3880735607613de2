"""Numeric fidelity: the numbers of an answer against those of the text it is about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from decimal import Decimal

from llink_ray.text.languages import DECODER_LANGUAGE, Language
from llink_ray.text.numerals import numerals

_NUMBER = re.compile(r"(-?)(\d+)((?:\.\d+)?)(%?)")
_DATE = re.compile(r"(?P<a>\d{1,4})(?P<sign>[-/.])(?P<b>\d\d?)(?P=sign)(?P<c>\d{1,4})")
_TIME = re.compile(r"(?P<a>\d\d?):(?P<b>\d\d)(?::(?P<c>\d\d))?")


def fidelity(
    pairs: Iterable[tuple[str, str]],
    language: Language | None = None,
    answer_language: Language | None = DECODER_LANGUAGE,
    *,
    leading_zeros: bool = False,
    percent_signs: bool = True,
) -> dict[str, float | None]:
    """How well answers keep to the numbers of their sources.

    Args:
        pairs: source text, answer text.
        language: of the sources; ``answer_language``: of the answers. They say what separators mean: 1.234
            in Georgian is 1,234 in English. Where either is unknown, both sides are read as written, so
            that 1,234 is itself and neither 1234 nor 1.234.
        leading_zeros: whether they count, as in codes and telephone numbers. Else 05 is 5, and 09:05 is 9:05.
        percent_signs: whether they count. Else 30% is 30, for a source that says "per cent" in words.

    Numbers are compared by value (1.50 is 1.5, −0 is 0); dates by their parts in order, whatever parts them
    (1/5/2024 is 01-05-2024, but 2024-05-01 is neither: which part is the month is not known); times by their
    parts, 10:30 being 10:30:00; anything else, such as 1.234.5, as written. Each counts as often as it
    stands.

    Returns: shares from 0 to 1, None where there was nothing to measure, and counts.
        ``precision``: of the answers' numbers, those that the sources have, over all rows together.
        ``recall``: of the sources' numbers, those that the answers have. Low where answers need not say all.
        ``f1``: their harmonic mean.
        ``faithful``: of the answers with numbers, those without any that its source lacks; to repeat
        one is no fault here, though it costs precision.
        ``rows``; ``rows_without_numbers``: on neither side, so that they enter none of the above;
        ``rows_with_answer_numbers``: what ``faithful`` is a share of;
        ``source_numbers``, ``answer_numbers``, ``shared_numbers``: what the first three are made of.
    """
    if not (language and language.decimal and answer_language and answer_language.decimal):
        language = answer_language = None
    rows = without = answered = faithful = in_source = in_answer = shared = 0
    for source, answer in pairs:
        expected = Counter(value(n, leading_zeros, percent_signs) for n in numerals(source, language))
        found = Counter(value(n, leading_zeros, percent_signs) for n in numerals(answer, answer_language))
        rows += 1
        without += not expected and not found
        answered += bool(found)
        faithful += bool(found) and found.keys() <= expected.keys()
        in_source += expected.total()
        in_answer += found.total()
        shared += (expected & found).total()
    return {
        "precision": _share(shared, in_answer),
        "recall": _share(shared, in_source),
        "f1": _share(2 * shared, in_source + in_answer),
        "faithful": _share(faithful, answered),
        "rows": rows,
        "rows_without_numbers": without,
        "rows_with_answer_numbers": answered,
        "source_numbers": in_source,
        "answer_numbers": in_answer,
        "shared_numbers": shared,
    }


def value(numeral: str, leading_zeros: bool = False, percent_signs: bool = True) -> Hashable:
    """What an item of ``numerals`` is compared by: two are the same number where this is equal."""
    if not percent_signs:
        numeral = numeral.rstrip("%")
    if number := _NUMBER.fullmatch(numeral):
        minus, whole, part, percent = number.groups()
        zeros = len(whole) - len(whole.lstrip("0") or "0")
        return Decimal(f"{minus}{whole}{part}"), percent, leading_zeros and zeros
    for form in (_DATE, _TIME):
        if when := form.fullmatch(numeral):
            parts = when.group("a", "b", "c")
            return form, parts if leading_zeros else tuple(int(part or 0) for part in parts)
    return numeral


def _share(part: int, of: int) -> float | None:
    return part / of if of else None
