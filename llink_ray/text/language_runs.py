"""Spans of a message by language, with names in Latin letters counted to the foreign sentence around them.

A Khmer sentence about ``Apple`` is one sentence, as in training; cut at the name it would be two and an
English word, and the number of every sentence behind it would shift.
"""

from __future__ import annotations

import regex

from llink_ray.text.detection import Span, spans
from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from llink_ray.text.segmentation import sentence_ends

_WORDS = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}'’.-]*")
_ENCLOSED = regex.compile(r"\s*[\p{Ps}\p{Pi}\"'].*[\p{Pe}\p{Pf}\"'][\p{P}\s]*", regex.DOTALL)
_PARTICLE_LETTERS = 3
"""Letters of the longest lower-case word within a name: of, the, van."""
_UNIT = regex.compile(r"\s*[\p{Nd}.,]*\s?\p{L}{1,4}(?:/\p{L}{1,2})?\P{L}*")
_CONTEXT_LETTERS = 200
"""Letters before its end that decide whether a sentence has ended."""


def language_runs(text: str) -> list[Span]:
    """As ``spans``, but Latin letters inside a foreign sentence belong to its span.

    Those are words with the same script before and after them on one line that look like a name, a unit after
    a number, or a remark in brackets; neither a sentence nor English words around a foreign one.
    """
    result: list[Span] = []
    by_script, joined = spans(text), False
    for i, span in enumerate(by_script):
        before = result[-1] if result else None
        if before and joined:
            longer = max(before, span, key=lambda s: s.end - s.start)
            result[-1] = Span(before.start, span.end, longer.code, before.script)
            joined = False
            continue
        after = by_script[i + 1] if i + 1 < len(by_script) else None
        if before and _belongs_to(text, before, span, after):
            result[-1] = Span(before.start, span.end, before.code, before.script)
            joined = after is not None
        else:
            result.append(span)
    return result


def _belongs_to(text: str, before: Span, span: Span, after: Span | None) -> bool:
    """Whether a span in Latin letters belongs to the foreign sentence around it."""
    own = DECODER_LANGUAGE.script
    if span.script != own or before.script in (own, None) or (after and after.script != before.script):
        return False
    words = text[span.start : span.end]
    if "\n" in words or "\n" in text[before.start : span.start][-2:]:
        return False
    ended = _ended(text[before.start : before.end], before.code)
    if _ENCLOSED.fullmatch(words):
        return not ended
    marks = (language_of(before.code) or DECODER_LANGUAGE).sentence_marks
    if not after and (ended or not any(mark in words for mark in marks if mark != "?")):
        return False  # at the end it may be the question about the text
    if ended and _ended(words, span.code):
        return False
    after_number = text[before.start : span.start].rstrip()[-1:].isdecimal() or words.strip()[0].isdecimal()
    if not ended and after_number and _UNIT.fullmatch(words):
        return True
    name = _WORDS.findall(words)
    lower_case = [word for word in name if word.islower()]
    if ended or not lower_case:
        return not lower_case
    inside = not name[0].islower() and not name[-1].islower()
    return inside and all(len(word) <= _PARTICLE_LETTERS for word in lower_case)


def _ended(text: str, code: str | None) -> bool:
    """Whether a sentence ends where the text does."""
    last = text.rstrip()[-_CONTEXT_LETTERS:]
    ends = sentence_ends(f"{last} Xx", language_of(code) or DECODER_LANGUAGE)
    return len(ends) > 1 and ends[-2] >= len(last)
