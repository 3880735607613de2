"""Normalise pairs and drop the unusable ones, by reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from sys import intern
from typing import TYPE_CHECKING

import regex

from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.sentence_key import key_of_normalised
from llink_ray.settings import CorpusSettings
from llink_ray.text.normalisation import normalise
from llink_ray.text.zawgyi import convert_zawgyi, is_zawgyi

if TYPE_CHECKING:
    from llink_ray.text.languages import Language

MAX_LINES_SHOWN = 3
"""Of each reason."""
ZAWGYI = "Zawgyi, not Unicode"
"""Reason to drop a pair; see :mod:`llink_ray.text.zawgyi`."""
MIN_CONFIDENCE = 0.7
"""Detection's confidence, reached with about 45 letters, from which on another language counts.

On sentences of news and encyclopedias this finds .80 to .99 of a neighbour's (Amharic in Tigrinya,
Dzongkha in Tibetan, Nepali in Hindi) and takes .003 or fewer of the language's own for another's.
"""


@dataclass(slots=True)
class Dropped:
    """Count of the pairs dropped for one reason, and the first line numbers."""

    count: int = 0
    first_lines: list[int] = field(default_factory=list)
    """1-based, at most three; empty for pairs without a file."""

    def add(self, line: int) -> None:
        """Count one more pair."""
        self.count += 1
        if line and len(self.first_lines) < MAX_LINES_SHOWN:
            self.first_lines.append(line)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Kept pairs in their order, and the dropped ones by reason."""

    kept: list[Pair]
    dropped: dict[str, Dropped]


def describe(dropped: Mapping[str, Dropped]) -> str:
    """Reasons by frequency: ``duplicate 12 (lines 3, 8, 9 …), too long 1 (line 4)``."""
    parts = []
    for reason, entry in sorted(dropped.items(), key=lambda item: (-item[1].count, item[0])):
        numbers = ", ".join(map(str, entry.first_lines))
        more = " …" if entry.count > len(entry.first_lines) else ""
        where = f" ({'line' if entry.count == 1 else 'lines'} {numbers}{more})" if numbers else ""
        parts.append(f"{reason} {entry.count:,}{where}")
    return ", ".join(parts)


def clean(pairs: Iterable[Pair], language: Language, settings: CorpusSettings) -> Cleaned:
    """Normalise every pair and drop the unusable ones.

    A pair is dropped for the first reason that holds, in this order: its reader's own, ``empty side``,
    ``too short``, ``too long``, ``source equals target``, ``length ratio``, ``sides swapped``,
    ``wrong script``, ``English side in another script``, ``Zawgyi, not Unicode``, ``wrong language``,
    ``duplicate``. The questions of a duplicate go to the pair that is kept, the first, which keeps its own
    source.
    """
    kept: list[Pair] = []
    dropped: dict[str, Dropped] = {}
    kept_index: dict[bytes, int] = {}
    duplicate_questions: dict[int, dict[Question, None]] = {}
    for pair in pairs:
        pair = _normalised(pair)
        if language.font_encoding and settings.zawgyi == "convert":
            pair = replace(pair, foreign=normalise(convert_zawgyi(pair.foreign)))
        keys = key_of_normalised(pair.foreign), key_of_normalised(pair.english)
        reason = _fault(pair, keys, language, settings)
        if reason is None:
            # Digests, since the keys would be as large as the corpus.
            index = kept_index.setdefault(
                blake2b("\0".join(keys).encode(), digest_size=16).digest(), len(kept)
            )
            if index == len(kept):
                kept.append(pair)
                continue
            reason = "duplicate"
            if pair.questions:
                duplicate_questions.setdefault(index, {}).update(dict.fromkeys(pair.questions))
        dropped.setdefault(reason, Dropped()).add(pair.line)
    for index, questions in duplicate_questions.items():
        known = set(kept[index].questions)
        new = tuple(question for question in questions if question not in known)
        kept[index] = replace(kept[index], questions=kept[index].questions + new)
    return Cleaned(kept, dropped)


def _normalised(pair: Pair) -> Pair:
    questions = tuple(
        Question(q.kind, normalise(q.instruction), normalise(q.answer), tuple(map(normalise, q.choices)))
        for q in pair.questions
    )
    # One string object for all pairs of a source.
    source = intern(normalise(pair.source))
    return Pair(normalise(pair.foreign), normalise(pair.english), questions, pair.line, source, pair.fault)


def _fault(pair: Pair, keys: tuple[str, str], language: Language, settings: CorpusSettings) -> str | None:
    """The first reason to drop a normalised pair, or None; cheap checks come first."""
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
    # Keys hold letters, marks and digits only, so white space does not count.
    fewer, more = sorted(map(len, keys))
    if more > fewer * settings.max_length_ratio:
        return "length ratio"
    reason = _script_fault(foreign, english, language, settings.min_script_share)
    if reason is None and _may_be_zawgyi(language) and is_zawgyi(foreign):
        reason = ZAWGYI
    if reason is None and settings.detect_language and _is_other_language(foreign, language):
        reason = "wrong language"
    return reason


@cache
def _may_be_zawgyi(language: Language) -> bool:
    """Whether text in its script may be in Zawgyi: Burmese, Mon and Shan."""
    from llink_ray.text.languages import TABLE

    return any(other.font_encoding and other.script == language.script for other in TABLE)


def _script_fault(foreign: str, english: str, language: Language, min_share: float) -> str | None:
    """A side without letters (bare numbers) fits any script."""
    from llink_ray.text.languages import DECODER_LANGUAGE

    own, decoder_scripts = language.unicode_scripts, DECODER_LANGUAGE.unicode_scripts
    if _script_share(foreign, own) < min_share:
        swapped = _script_share(english, own) >= min_share > _script_share(english, decoder_scripts)
        return "sides swapped" if swapped else "wrong script"
    if _script_share(english, decoder_scripts) < min_share:
        return "English side in another script"
    return None


def _script_share(text: str, scripts: tuple[str, ...]) -> float:
    """Share of the letters that are in one of the Unicode scripts; 1 where there are no letters.

    Marks count as letters, since many scripts write vowels as marks.
    """
    total, own = (sum(map(len, runs.findall(text))) for runs in _letters(scripts))
    return own / total if total else 1.0


@cache
def _letters(scripts: tuple[str, ...]) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """Patterns of runs of letters in any script, and in ``scripts``."""
    ours = "".join(rf"\p{{Script={name}}}" for name in scripts)
    some = r"[\p{L}\p{M}]--[\p{Script=Common}\p{Script=Inherited}]"
    return regex.compile(f"[{some}]+", regex.V1), regex.compile(f"[[\\p{{L}}\\p{{M}}]&&[{ours}]]+", regex.V1)


def _is_other_language(text: str, language: Language) -> bool:
    """Whether ``text`` is confidently detected as another language."""
    from llink_ray.text.detection import detect

    detection = detect(text)
    return detection.code not in (None, language.code) and detection.confidence >= MIN_CONFIDENCE
