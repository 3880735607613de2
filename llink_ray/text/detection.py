"""Which language a text is in, offline: the Unicode script first, CLD2 where languages share one.

Scripts that belong to one language of the table settle it. Among the others, letters (and a few
words) that only one of them writes come first, then CLD2, then the first of them in the table. In the
decoder's own script a text is its language until several words of it say otherwise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import pycld2
import regex

from llink_ray.text.languages import DECODER_LANGUAGE, TABLE, Language
from llink_ray.text.normalisation import located, visible
from llink_ray.text.zawgyi import is_zawgyi

TELLING_SHARE = 0.01
"""Share of a text's letters (with marks) from which on telling letters are more than a quoted name."""
ENOUGH_LETTERS = 20
"""A span with fewer is read together with the other spans of its script in the text."""
UNSURE = 0.5
"""Confidence within a script where nothing tells."""
FEWEST_WORDS, GUESSED_WORDS = 3, 4
"""Words from which on a text in the decoder's script may be in a language that the table lacks: where CLD2 is
sure of it, and where it is not."""
COMMON_SHARE = 1 / 8
"""Share of common words from which on it is in the decoder's language whatever CLD2 says."""
SURE_LETTERS = 60
"""CLD2's doubt between languages of one script halves with every so many letters (docs/languages.md)."""


# Compiled once: corpora are looked at line by line, and looking a pattern up costs more than most matches.
_LETTERS = regex.compile(r"[\p{L}\p{M}]+")
_WORDS = regex.compile(r"[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*")
_REFUSED = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}]")


@dataclass(frozen=True, slots=True)
class Detection:
    """The language of a text as a whole."""

    code: str | None
    """As in the table, or the decoder's own language; None: no letters, or no language of the table."""
    confidence: float
    """0 to 1: share of the letters in that script, times how sure the language is within the script."""
    script: str | None
    """ISO 15924; None without letters or in a script outside the table."""
    other: str | None = field(default=None, compare=False)
    """Where there is no code: the language that CLD2 knows it for, e.g. ``German (de)``."""


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` is in one language."""

    start: int
    """Offset in characters (code points)."""
    end: int
    """First offset after the span."""
    code: str | None
    """As ``Detection.code``."""
    script: str | None
    """As ``Detection.script``."""
    other: str | None = field(default=None, compare=False)
    """As ``Detection.other``."""


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """Languages whose scripts overlap, in table order; nearly always one script."""

    scripts: frozenset[str]
    languages: tuple[Language, ...]


class _Found(NamedTuple):
    """The language of a text in one family's script."""

    language: Language | None
    sure: float
    """0 to 1."""
    other: str | None = None
    """Without a language: CLD2's."""
    script: str | None = None
    """Where it is another than the language's own: that of a font's encoding."""


@dataclass(slots=True)
class _Run:
    start: int
    end: int
    family: _Family | None
    letters: int


def detect(text: str) -> Detection:
    """The language that most letters of ``text`` are in; any string will do."""
    text = visible(text)
    runs = _runs(text)
    total = sum(run.letters for run in runs)
    if not total:
        return Detection(None, 0.0, None)
    counts: Counter[_Family | None] = Counter()
    for run in runs:
        counts[run.family] += run.letters
    family = counts.most_common(1)[0][0]
    found = _language(family, _text_of(text, [run for run in runs if run.family is family]))
    code = found.language.code if found.language else None
    sure = round(found.sure * counts[family] / total, 4)
    return Detection(code, sure, found.script or _script(family, found.language), found.other)


def spans(text: str) -> list[Span]:
    """``text`` cut where its language changes with its script: in order, without gaps, covering it all.

    Digits, punctuation and white space belong to what stands before them, opening brackets and what
    touches the next word to what comes after. Two languages of one script side by side are one span,
    of the likelier language. Empty for empty text; one span without code where there are no letters.
    Letters that nobody sees change nothing, and belong to what stands before them.
    """
    if not text:
        return []
    seen = located(text)
    found = _spans(seen.text) or [Span(0, len(text), None, None)]
    starts = [0, *(seen.place(span.start) for span in found[1:])]
    ends = [*starts[1:], len(text)]
    return [replace(span, start=start, end=end) for start, end, span in zip(starts, ends, found, strict=True)]


def _spans(text: str) -> list[Span]:
    """Of a text that is visible."""
    runs = _runs(text)
    if not runs:
        return [Span(0, len(text), None, None)] if text else []
    pooled = {
        family: _language(family, _text_of(text, [run for run in runs if run.family is family]))
        for family in {run.family for run in runs}
    }
    found: list[Span] = []
    for i, run in enumerate(runs):
        start = found[-1].end if found else 0
        end = _cut(text, run.end, runs[i + 1].start) if i + 1 < len(runs) else len(text)
        told = pooled[run.family]
        if run.letters >= ENOUGH_LETTERS:
            told = _language(run.family, _text_of(text, [run]))
        language = told.language
        script = told.script or _script(run.family, language)
        span = Span(start, end, language.code if language else None, script, told.other)
        if found and (found[-1].code, found[-1].script) == (span.code, span.script):
            span = replace(span, start=found.pop().start)
        found.append(span)
    return found


@cache
def _families() -> tuple[_Family, ...]:
    """The table by script; the decoder's own language is the likeliest of its script."""
    groups: list[tuple[set[str], list[Language]]] = []
    for language in (DECODER_LANGUAGE, *TABLE):
        scripts, members = set(language.unicode_scripts), [language]
        for group in [group for group in groups if group[0] & scripts]:
            groups.remove(group)
            scripts, members = scripts | group[0], group[1] + members
        groups.append((scripts, members))
    return tuple(_Family(frozenset(scripts), tuple(members)) for scripts, members in groups)


@cache
def _pattern() -> regex.Pattern[str]:
    """One letter run: a named group for each family, the last for scripts outside the table."""
    marks = r"\p{Script=Inherited}"
    groups = []
    for i, family in enumerate(_families()):
        letters = "".join(rf"\p{{Script={name}}}" for name in sorted(family.scripts))
        groups.append(rf"(?P<f{i}>(?:[{letters}]{marks}*)+)")
    groups.append(rf"(?P<other>(?:[\p{{L}}--\p{{Script=Common}}]{marks}*)+)")
    return regex.compile("|".join(groups), regex.V1)


def _runs(text: str) -> list[_Run]:
    """Stretches of one family that hold letters; neighbours of one family are one run."""
    runs: list[_Run] = []
    for match in _pattern().finditer(text):
        letters = _letters(match.group())
        if not letters:
            continue
        name = match.lastgroup
        family = None if name == "other" else _families()[int(name[1:])]
        if runs and runs[-1].family is family:
            runs[-1].end = match.end()
            runs[-1].letters += letters
        else:
            runs.append(_Run(match.start(), match.end(), family, letters))
    return runs


def _letters(text: str) -> int:
    """Letters and the marks on them, so that a script with vowel signs weighs what it should."""
    return sum(map(len, _LETTERS.findall(text)))


def _cut(text: str, start: int, end: int) -> int:
    """Where in ``text[start:end]``, between two runs, the first gives way to the second."""
    gap = text[start:end]
    opening = regex.search(r"[\p{Ps}\p{Pi}][^\p{Pe}\p{Pf}]*$", gap)
    if opening:
        return start + int(opening.start())
    after_spaces = [i for i, letter in enumerate(gap, start=1) if letter.isspace()]
    return start + (after_spaces[-1] if after_spaces else len(gap))


def _text_of(text: str, runs: list[_Run]) -> str:
    return " ".join(text[run.start : run.end] for run in runs)


def _script(family: _Family | None, language: Language | None) -> str | None:
    if language:
        return language.script
    return family.languages[0].script if family else None


def _language(family: _Family | None, text: str) -> _Found:
    """The language of a text in one family's script, and how sure that is, 0 to 1."""
    if family is None:
        return _Found(None, 0.0)
    if len(family.languages) == 1:
        return _Found(family.languages[0], 1.0)
    letters = _letters(text)
    sure = 1 - (1 - UNSURE) * 0.5 ** (letters / SURE_LETTERS)
    for language in family.languages:
        if language.font_encoding and is_zawgyi(text):
            return _Found(language, sure, script=language.font_encoding)
    if found := _by_telling(family, text, letters):
        return _Found(found, sure)
    # CLD2 refuses control characters, surrogates, noncharacters and the end of private use.
    clean = _REFUSED.sub(" ", text)
    reliable, _, answers = pycld2.detect(clean, isPlainText=True)
    decoders = DECODER_LANGUAGE in family.languages
    if reliable and _is_foreign(*answers[0][:2]):
        if decoders and not _may_be_foreign(text, FEWEST_WORDS):
            return _Found(DECODER_LANGUAGE, UNSURE)
        return _Found(None, sure, _called(*answers[0][:2]))
    if not reliable:
        _, _, answers = pycld2.detect(clean, isPlainText=True, bestEffort=True)
        if decoders:
            if _is_foreign(*answers[0][:2]) and _may_be_foreign(text, GUESSED_WORDS):
                return _Found(None, UNSURE, _called(*answers[0][:2]))
            return _Found(DECODER_LANGUAGE, UNSURE)
    for _, code, *_ in answers:
        for language in family.languages:
            if code in language.cld2:
                return _Found(language, sure)
    return _Found(family.languages[0], UNSURE)


def _may_be_foreign(text: str, fewest: int) -> bool:
    """Whether a text in the decoder's script has words enough to be in another language, and few of its own.

    Names are of any language, so two words have to begin with a small letter; single letters are of formulas.
    """
    words = [word for word in _WORDS.findall(text) if len(word) > 1 or not word.isascii()]
    if len(words) < fewest or sum(word[0].islower() for word in words) < 2:
        return False
    common = sum(word.casefold().replace("’", "'") in DECODER_LANGUAGE.common for word in words)
    # What CLD2 is not sure of is another language only where nothing at all speaks for the decoder's.
    return not common or (fewest == FEWEST_WORDS and common < COMMON_SHARE * len(words))


def _called(name: str, code: str) -> str:
    """``German (de)``."""
    return f"{name.replace('_', ' ').title()} ({code})"


def _by_telling(family: _Family, text: str, letters: int) -> Language | None:
    """The language whose own letters and words the text has most of, if it has enough."""
    words = set(_LETTERS.findall(text))
    hits = [
        sum(map(text.count, language.telling)) + sum(len(word) for word in words.intersection(language.words))
        for language in family.languages
    ]
    most = max(hits)
    if most < max(1, TELLING_SHARE * letters) or hits.count(most) > 1:
        return None
    return family.languages[hits.index(most)]


def _is_foreign(name: str, code: str) -> bool:
    """Whether CLD2 means a language (no script or joke, which it names too) that the table lacks."""
    return code not in _known() and name in pycld2.DETECTED_LANGUAGES and not name.startswith("X_")


@cache
def _known() -> frozenset[str]:
    return frozenset(code for language in (DECODER_LANGUAGE, *TABLE) for code in language.cld2)
