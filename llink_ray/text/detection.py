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
from llink_ray.text.normalisation import visible, visible_with_offsets
from llink_ray.text.zawgyi import is_zawgyi

DISTINCTIVE_SHARE = 0.01
"""Smallest share of distinctive letters (with marks) that is more than a quoted name."""
MIN_SPAN_LETTERS = 20
"""A shorter span is detected together with the other spans of its script."""
UNSURE_CONFIDENCE = 0.5
"""Confidence within a script without any evidence."""
MIN_WORDS, MIN_WORDS_UNRELIABLE = 3, 4
"""Fewest words of a text in the decoder's script that may be in a language that the table lacks: where CLD2
is reliable, and where it is not."""
COMMON_SHARE = 1 / 8
"""Share of common words from which on a text is in the decoder's language whatever CLD2 says."""
HALVING_LETTERS = 60
"""Number of letters that halves the doubt between languages of one script (docs/languages.md)."""


# Compiled once: looking a pattern up in the cache costs more than most matches.
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


class _Guess(NamedTuple):
    """The language of a text in one family's script."""

    language: Language | None
    confidence: float
    """0 to 1."""
    other: str | None = None
    """CLD2's name of a language that the table lacks."""
    script: str | None = None
    """Of the encoding of a font, where the text is in one."""


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
    guess = _language(family, _joined_text(text, [run for run in runs if run.family is family]))
    code = guess.language.code if guess.language else None
    confidence = round(guess.confidence * counts[family] / total, 4)
    return Detection(code, confidence, guess.script or _script(family, guess.language), guess.other)


def spans(text: str) -> list[Span]:
    """``text`` divided where its language changes with its script: in order, without gaps.

    Digits, punctuation and white space belong to the span before them, opening brackets and what touches
    the next word to the span after. Two languages of one script side by side are one span, of the likelier
    language. Empty for empty text; one span without code where there are no letters. Invisible letters
    change nothing and belong to the span before them.
    """
    if not text:
        return []
    mapped = visible_with_offsets(text)
    visible_spans = _spans(mapped.text) or [Span(0, len(text), None, None)]
    starts = [0, *(mapped.original_offset(span.start) for span in visible_spans[1:])]
    ends = [*starts[1:], len(text)]
    return [
        replace(span, start=start, end=end)
        for start, end, span in zip(starts, ends, visible_spans, strict=True)
    ]


def _spans(text: str) -> list[Span]:
    """:func:`spans` of a text without invisible letters."""
    runs = _runs(text)
    if not runs:
        return [Span(0, len(text), None, None)] if text else []
    pooled = {
        family: _language(family, _joined_text(text, [run for run in runs if run.family is family]))
        for family in {run.family for run in runs}
    }
    result: list[Span] = []
    for i, run in enumerate(runs):
        start = result[-1].end if result else 0
        end = _boundary(text, run.end, runs[i + 1].start) if i + 1 < len(runs) else len(text)
        guess = pooled[run.family]
        if run.letters >= MIN_SPAN_LETTERS:
            guess = _language(run.family, _joined_text(text, [run]))
        language = guess.language
        script = guess.script or _script(run.family, language)
        span = Span(start, end, language.code if language else None, script, guess.other)
        if result and (result[-1].code, result[-1].script) == (span.code, span.script):
            span = replace(span, start=result.pop().start)
        result.append(span)
    return result


@cache
def _families() -> tuple[_Family, ...]:
    """The table by script; the decoder's own language comes first in its script."""
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
    """Runs of letters of one family; adjacent runs of one family are joined."""
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
    """Number of letters and their marks, since vowel signs are marks in many scripts."""
    return sum(map(len, _LETTERS.findall(text)))


def _boundary(text: str, start: int, end: int) -> int:
    """Where, in the gap ``text[start:end]`` between two runs, the second begins."""
    gap = text[start:end]
    opening = regex.search(r"[\p{Ps}\p{Pi}][^\p{Pe}\p{Pf}]*$", gap)
    if opening:
        return start + int(opening.start())
    after_spaces = [i for i, letter in enumerate(gap, start=1) if letter.isspace()]
    return start + (after_spaces[-1] if after_spaces else len(gap))


def _joined_text(text: str, runs: list[_Run]) -> str:
    return " ".join(text[run.start : run.end] for run in runs)


def _script(family: _Family | None, language: Language | None) -> str | None:
    if language:
        return language.script
    return family.languages[0].script if family else None


def _language(family: _Family | None, text: str) -> _Guess:
    """The language of a text in one family's script, and how sure that is, 0 to 1."""
    if family is None:
        return _Guess(None, 0.0)
    if len(family.languages) == 1:
        return _Guess(family.languages[0], 1.0)
    letters = _letters(text)
    confidence = 1 - (1 - UNSURE_CONFIDENCE) * 0.5 ** (letters / HALVING_LETTERS)
    for language in family.languages:
        if language.font_encoding and is_zawgyi(text):
            return _Guess(language, confidence, script=language.font_encoding)
    if distinctive := _by_distinctive_text(family, text, letters):
        return _Guess(distinctive, confidence)
    # CLD2 refuses control characters, surrogates, noncharacters and the end of private use.
    clean = _REFUSED.sub(" ", text)
    reliable, _, answers = pycld2.detect(clean, isPlainText=True)
    decoder_script = DECODER_LANGUAGE in family.languages
    if reliable and _is_unlisted(*answers[0][:2]):
        if decoder_script and not _may_be_other_language(text, MIN_WORDS):
            return _Guess(DECODER_LANGUAGE, UNSURE_CONFIDENCE)
        return _Guess(None, confidence, _cld2_name(*answers[0][:2]))
    if not reliable:
        _, _, answers = pycld2.detect(clean, isPlainText=True, bestEffort=True)
        if decoder_script:
            if _is_unlisted(*answers[0][:2]) and _may_be_other_language(text, MIN_WORDS_UNRELIABLE):
                return _Guess(None, UNSURE_CONFIDENCE, _cld2_name(*answers[0][:2]))
            return _Guess(DECODER_LANGUAGE, UNSURE_CONFIDENCE)
    for _, code, *_ in answers:
        for language in family.languages:
            if code in language.cld2:
                return _Guess(language, confidence)
    return _Guess(family.languages[0], UNSURE_CONFIDENCE)


def _may_be_other_language(text: str, min_words: int) -> bool:
    """Whether a text in the decoder's script has enough words to be in another language, and few of its own.

    Names occur in any language, so two words have to begin with a small letter; single letters are formulas.
    """
    words = [word for word in _WORDS.findall(text) if len(word) > 1 or not word.isascii()]
    if len(words) < min_words or sum(word[0].islower() for word in words) < 2:
        return False
    common = sum(word.casefold().replace("’", "'") in DECODER_LANGUAGE.common for word in words)
    # Where CLD2 is not reliable, one common word of the decoder's language is enough.
    return not common or (min_words == MIN_WORDS and common < COMMON_SHARE * len(words))


def _cld2_name(name: str, code: str) -> str:
    """``German (de)``."""
    return f"{name.replace('_', ' ').title()} ({code})"


def _by_distinctive_text(family: _Family, text: str, letters: int) -> Language | None:
    """The language with the most distinctive letters and words in the text, if there are enough."""
    words = set(_LETTERS.findall(text))
    hits = [
        sum(map(text.count, language.distinctive_letters))
        + sum(len(word) for word in words.intersection(language.words))
        for language in family.languages
    ]
    best = max(hits)
    if best < max(1, DISTINCTIVE_SHARE * letters) or hits.count(best) > 1:
        return None
    return family.languages[hits.index(best)]


def _is_unlisted(name: str, code: str) -> bool:
    """Whether CLD2 names a language that the table lacks; some of its names are scripts or jokes."""
    return (
        code not in _listed_cld2_codes() and name in pycld2.DETECTED_LANGUAGES and not name.startswith("X_")
    )


@cache
def _listed_cld2_codes() -> frozenset[str]:
    return frozenset(code for language in (DECODER_LANGUAGE, *TABLE) for code in language.cld2)
