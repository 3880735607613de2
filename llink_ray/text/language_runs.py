"""A message in stretches of one language, names in Latin letters counted to the foreign sentence around them.

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
_PARTICLE = 3
"""Letters up to which a small word may stand within a name: of, the, van."""
_UNIT = regex.compile(r"\s*[\p{Nd}.,]*\s?\p{L}{1,4}(?:/\p{L}{1,2})?\P{L}*")
_NEAR = 200
"""Letters of a stretch that tell whether its last sentence has ended."""


def stretches(text: str) -> list[Span]:
    """As ``spans``, but what is in Latin letters inside of a foreign sentence belongs to its stretch.

    That is what has the same script before and behind it on one line, and reads like a name, a unit behind a
    number, or a remark in brackets; not a sentence, nor small words of English that a foreign word stands in.
    """
    found: list[Span] = []
    cut, joined = spans(text), False
    for number, span in enumerate(cut):
        before = found[-1] if found else None
        if before and joined:
            longer = max(before, span, key=lambda one: one.end - one.start)
            found[-1] = Span(before.start, span.end, longer.code, before.script)
            joined = False
            continue
        behind = cut[number + 1] if number + 1 < len(cut) else None
        if before and _joins(text, before, span, behind):
            found[-1] = Span(before.start, span.end, before.code, before.script)
            joined = behind is not None
        else:
            found.append(span)
    return found


def _joins(text: str, before: Span, span: Span, behind: Span | None) -> bool:
    """Whether a stretch in Latin letters belongs to the foreign sentence before it, or the one behind."""
    own = DECODER_LANGUAGE.script
    if span.script != own or before.script in (own, None) or (behind and behind.script != before.script):
        return False
    words = text[span.start : span.end]
    if "\n" in words or "\n" in text[before.start : span.start][-2:]:
        return False
    ended = _ended(text[before.start : before.end], before.code)
    if _ENCLOSED.fullmatch(words):
        return not ended
    marks = (language_of(before.code) or DECODER_LANGUAGE).sentence_marks
    if not behind and (ended or not any(mark in words for mark in marks if mark != "?")):
        return False  # what stands last may be what is asked about the text
    if ended and _ended(words, span.code):
        return False
    counted = text[before.start : span.start].rstrip()[-1:].isdecimal() or words.strip()[0].isdecimal()
    if not ended and counted and _UNIT.fullmatch(words):
        return True
    told = _WORDS.findall(words)
    small = [word for word in told if word.islower()]
    if ended or not small:
        return not small
    inside = not told[0].islower() and not told[-1].islower()
    return inside and all(len(word) <= _PARTICLE for word in small)


def _ended(stretch: str, code: str | None) -> bool:
    """Whether a sentence has ended where the stretch does."""
    last = stretch.rstrip()[-_NEAR:]
    ends = sentence_ends(f"{last} Xx", language_of(code) or DECODER_LANGUAGE)
    return len(ends) > 1 and ends[-2] >= len(last)
