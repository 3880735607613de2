"""Which pairs are worth training on, and for what reason the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from sys import intern
from typing import TYPE_CHECKING

import regex

from llink_ray.corpus.normalise import tidy, tidy_key
from llink_ray.corpus.pair import Pair, Question
from llink_ray.settings import CorpusSettings
from llink_ray.text.zawgyi import converted, is_zawgyi

if TYPE_CHECKING:
    from llink_ray.text.languages import Language

LINES_SHOWN = 3
"""Line numbers kept for each reason."""
ZAWGYI = "Zawgyi, not Unicode"
"""Reason to drop a pair: see :mod:`llink_ray.text.zawgyi`."""
CONFIDENT = 0.7
"""Detection's confidence from which on another language is believed: about 45 letters or more.

On sentences of news and encyclopedias this finds .80 to .99 of a neighbour's (Amharic in Tigrinya,
Dzongkha in Tibetan, Nepali in Hindi) and takes .003 or fewer of the language's own for another's.
"""


@dataclass(slots=True)
class Dropped:
    """How many pairs went for one reason, and the lines of the first of them."""

    count: int = 0
    first_lines: list[int] = field(default_factory=list)
    """1-based, at most three; empty for pairs that came from no file."""

    def add(self, line: int) -> None:
        """One more."""
        self.count += 1
        if line and len(self.first_lines) < LINES_SHOWN:
            self.first_lines.append(line)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What is left, in the order it came, and what went: reason -> count and first lines."""

    kept: list[Pair]
    dropped: dict[str, Dropped]


def describe(dropped: Mapping[str, Dropped]) -> str:
    """The reasons, commonest first: ``duplicate 12 (lines 3, 8, 9 …), too long 1 (line 4)``."""
    parts = []
    for reason, entry in sorted(dropped.items(), key=lambda item: (-item[1].count, item[0])):
        numbers = ", ".join(map(str, entry.first_lines))
        more = " …" if entry.count > len(entry.first_lines) else ""
        where = f" ({'line' if entry.count == 1 else 'lines'} {numbers}{more})" if numbers else ""
        parts.append(f"{reason} {entry.count:,}{where}")
    return ", ".join(parts)


def clean(pairs: Iterable[Pair], language: Language, settings: CorpusSettings) -> Cleaned:
    """Tidy every pair (NFC, invisible letters, white space) and drop the unusable ones.

    A pair is dropped for the first reason that holds, in this order: its reader's own, ``empty side``,
    ``too short``, ``too long``, ``source equals target``, ``length ratio``, ``sides swapped``,
    ``wrong script``, ``English side in another script``, ``Zawgyi, not Unicode``, ``wrong language``,
    ``duplicate``. The questions of a duplicate go to the pair that is kept, the first, which keeps its own
    source.
    """
    kept: list[Pair] = []
    dropped: dict[str, Dropped] = {}
    places: dict[bytes, int] = {}
    further: dict[int, dict[Question, None]] = {}
    for pair in pairs:
        pair = _tidy_pair(pair)
        if language.font_encoding and settings.zawgyi == "convert":
            pair = replace(pair, foreign=tidy(converted(pair.foreign)))
        keys = tidy_key(pair.foreign), tidy_key(pair.english)
        reason = _fault(pair, keys, language, settings)
        if reason is None:
            # The keys themselves would be the text of the whole corpus once more.
            place = places.setdefault(blake2b("\0".join(keys).encode(), digest_size=16).digest(), len(kept))
            if place == len(kept):
                kept.append(pair)
                continue
            reason = "duplicate"
            if pair.questions:
                further.setdefault(place, {}).update(dict.fromkeys(pair.questions))
        dropped.setdefault(reason, Dropped()).add(pair.line)
    for place, asked in further.items():
        known = set(kept[place].questions)
        new = tuple(question for question in asked if question not in known)
        kept[place] = replace(kept[place], questions=kept[place].questions + new)
    return Cleaned(kept, dropped)


def _tidy_pair(pair: Pair) -> Pair:
    asked = tuple(
        Question(q.kind, tidy(q.instruction), tidy(q.answer), tuple(map(tidy, q.choices)))
        for q in pair.questions
    )
    # One string for all pairs of a source, not one each.
    source = intern(tidy(pair.source))
    return Pair(tidy(pair.foreign), tidy(pair.english), asked, pair.line, source, pair.fault)


def _fault(pair: Pair, keys: tuple[str, str], language: Language, settings: CorpusSettings) -> str | None:
    """The first reason to drop a tidied pair, or None; cheap checks first."""
    foreign, english = pair.foreign, pair.english
    if pair.fault:
        return pair.fault
    if not all(keys):
        return "empty side"
    shorter, longer = sorted((len(foreign), len(english)))
    if shorter < settings.min_characters:
        return "too short"
    if longer > settings.max_characters:
        return "too long"
    if keys[0] == keys[1]:
        return "source equals target"
    # Keys hold letters, marks and digits only, so white space between letters does not weigh.
    fewer, more = sorted(map(len, keys))
    if more > fewer * settings.max_length_ratio:
        return "length ratio"
    reason = _script_fault(foreign, english, language, settings.min_script_share)
    if reason is None and _may_be_zawgyi(language) and is_zawgyi(foreign):
        reason = ZAWGYI
    if reason is None and settings.detect_language and _is_another(foreign, language):
        reason = "wrong language"
    return reason


@cache
def _may_be_zawgyi(language: Language) -> bool:
    """Whether text in its script may be in a font's own encoding: Mon and Shan, beside Burmese."""
    from llink_ray.text.languages import TABLE

    return any(other.font_encoding and other.script == language.script for other in TABLE)


def _script_fault(foreign: str, english: str, language: Language, least: float) -> str | None:
    """Sides without letters (bare numbers) are in any script."""
    from llink_ray.text.languages import DECODER_LANGUAGE

    own, decoders = language.unicode_scripts, DECODER_LANGUAGE.unicode_scripts
    if _script_share(foreign, own) < least:
        swapped = _script_share(english, own) >= least > _script_share(english, decoders)
        return "sides swapped" if swapped else "wrong script"
    if _script_share(english, decoders) < least:
        return "English side in another script"
    return None


def _script_share(text: str, scripts: tuple[str, ...]) -> float:
    """Share of the letters that are in one of the Unicode scripts; 1 where there are no letters.

    Marks count as letters, as the vowels of half of these scripts are marks.
    """
    total, own = (sum(map(len, runs.findall(text))) for runs in _letters(scripts))
    return own / total if total else 1.0


@cache
def _letters(scripts: tuple[str, ...]) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """Runs of letters that belong to any one script, and of those that belong to ``scripts``."""
    ours = "".join(rf"\p{{Script={name}}}" for name in scripts)
    some = r"[\p{L}\p{M}]--[\p{Script=Common}\p{Script=Inherited}]"
    return regex.compile(f"[{some}]+", regex.V1), regex.compile(f"[[\\p{{L}}\\p{{M}}]&&[{ours}]]+", regex.V1)


def _is_another(text: str, language: Language) -> bool:
    """Whether detection is sure that ``text`` is in some other language that it knows."""
    from llink_ray.text.detection import detect

    found = detect(text)
    return found.code not in (None, language.code) and found.confidence >= CONFIDENT
