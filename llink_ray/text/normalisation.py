"""The normal form of text, the same in training and in use.

Two steps. :func:`visible` removes invisible letters, replaces letters that differ only in line breaking by
their usual form, and composes the rest (NFC); line breaks stay, so it is fit for whole messages.
:func:`normalise` then makes one line of it in the form of a version. A bundle records the version of its
training text. A version never changes: whatever changes the form of any text needs a new one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex

VERSION = 2
"""That training uses now."""
FIRST_VERSION = 1
"""Of bundles that record none: it knew fewer invisible letters."""

_JOINERS = "\u200c\u200d"
# Of no width and no meaning by themselves, but for those that `_visible_part` knows a use of: format and bidi
# marks, joiners, variation selectors, fillers, tags, byte order mark; controls; halves of surrogate pairs,
# which come out of JSON escapes and can be written in no encoding; code points that are no characters.
_UNSEEN = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
)
_UNSEEN_BEYOND = "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff" + "".join(
    chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(1, 17)
)
_BREAKS = "\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
# Blanks of other widths, and letters that show as one: Hangul fillers, Braille without dots.
_BLANKS = "\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u3164\uffa0\u2800"
_TWINS = {"\u0f0c": "\u0f0b", "\u2011": "-"}  # they differ in that a line must not end behind them

_RUNS = re.compile(f"[{_UNSEEN}{_UNSEEN_BEYOND}]+")
_OTHERS = re.compile(f"\r\n|[{_BREAKS}{_BLANKS}{''.join(_TWINS)}]")
# Most texts hold none of these. `re` has a table for sets within the basic plane, and is ten times slower
# beyond it, so that is looked at by itself where there is anything.
_ODD = re.compile(f"[{_UNSEEN}{_BREAKS}{_BLANKS}{''.join(_TWINS)}]")
_BEYOND, _ODD_BEYOND = re.compile("[\U00010000-\U0010ffff]"), re.compile(f"[{_UNSEEN_BEYOND}]")
# Some languages part thousands with a blank that a line does not end at, and no number ends at it either.
_NO_BREAK = "\u00a0\u202f\u2007\u2009"
_GROUP = regex.compile(rf"(?<=(?<!\d)\d{{1,3}}(?:[{_NO_BREAK}]\d{{3}})*)[{_NO_BREAK}](?=\d{{3}}(?!\d))")

# What kills a vowel in scripts that choose the shape of a cluster by a joiner beside it. Those that stack
# without one are not among them: Khmer, Burmese, Tibetan, Lao.
_VIRAMAS = (
    "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u1b44\u1baa\u1bab\ua806\ua8c4"
    "\ua9c0\uaaf6\U00011046\U0001107f\U000110b9\U00011133\U00011134\U000111c0\U00011235\U0001134d\U00011442"
    "\U000114c2\U000115bf\U0001163f\U000116b6\U0001193d\U0001193e\U000119e0"
)
_DEAD = "\u0d54\u0d55\u0d56\u0d7a\u0d7b\u0d7c\u0d7d\u0d7e\u0d7f"  # letters with the virama in them
_JOINING = regex.compile(r"[\p{jt=D}\p{jt=R}\p{jt=L}\p{jt=C}--[\u200d\u180b-\u180f]]", regex.V1)
_JOINS_ON = regex.compile(r"[\p{jt=D}\p{jt=L}\p{jt=C}--[\u200d\u180b-\u180f]]", regex.V1)
_PICTURE = regex.compile(r"\p{Extended_Pictographic}")
_IDEOGRAPH = regex.compile(r"\p{Ideographic}")
_JAMO = regex.compile(r"[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb]")
_SKIN = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_FLAG = "\U0001f3f4"


@dataclass(frozen=True, slots=True)
class VisibleText:
    """A visible text with the offsets of its characters in the original."""

    text: str
    offsets: list[int] | None
    """Original offset of each character, and the original length at the end; None where nothing changed."""

    def original_offset(self, offset: int) -> int:
        """Original offset of the character at ``offset``."""
        return offset if self.offsets is None else self.offsets[offset]


def visible(text: str) -> str:
    """``text`` in NFC without invisible letters, with usual blanks and line breaks.

    Joiners stay where a script spells with them: beside a virama (Sinhala, Malayalam, Bengali, Hindi …),
    between joining letters (Persian, Uyghur …), in pictures made of several; so do variation selectors
    behind pictures and ideographs. A no-break blank stays, as U+00A0, where it parts thousands.
    """
    while _is_odd(text):
        cleaned = unicodedata.normalize("NFC", _OTHERS.sub(_usual_form, _RUNS.sub(_visible_part, text)))
        if cleaned == text:
            break
        text = cleaned
    return text


def normalise(text: str, version: int = VERSION) -> str:
    """``text`` in the form of a version: visible, and in one line.

    Raises:
        KeyError: no such version; see :func:`is_known_version`.
    """
    return _FORMS[version](visible(text))


def is_known_version(version: int) -> bool:
    """Whether this package knows the version."""
    return version in _FORMS


def visible_with_offsets(text: str) -> VisibleText:
    """:func:`visible`, with where everything stood."""
    offsets: list[int] | None = None
    while _is_odd(before := text):
        text, offsets = _edited(text, offsets, _replacements(_RUNS, _visible_part, text))
        text, offsets = _edited(text, offsets, _replacements(_OTHERS, _usual_form, text))
        text, offsets = _edited(text, offsets, _compositions(text))
        if text == before:
            break
    return VisibleText(text, offsets)


def _is_odd(text: str) -> bool:
    """Whether anything in it may have to change."""
    return not unicodedata.is_normalized("NFC", text) or bool(
        _ODD.search(text) or (_BEYOND.search(text) and _ODD_BEYOND.search(text))
    )


Edit = tuple[int, int, str]
"""Start, end and replacement."""


def _edited(text: str, offsets: list[int] | None, edits: Iterator[Edit]) -> tuple[str, list[int] | None]:
    """The text after ``edits``, with the original offsets of its characters."""
    parts, positions, done = list[str](), list[int](), 0
    for start, end, new in edits:
        parts += (text[done:start], new)
        positions += range(done, start)
        positions += (min(start + i, end - 1) for i in range(len(new)))
        done = end
    if not parts:
        return text, offsets
    positions += range(done, len(text) + 1)
    edited = "".join(parts) + text[done:]
    return edited, positions if offsets is None else [offsets[i] for i in positions]


def _replacements(
    pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str], text: str
) -> Iterator[Edit]:
    for match in pattern.finditer(text):
        if (new := replace(match)) != match.group():
            yield match.start(), match.end(), new


def _compositions(text: str) -> Iterator[Edit]:
    """NFC, cluster by cluster: letters of two clusters never compose."""
    if unicodedata.is_normalized("NFC", text):
        return
    for cluster in regex.finditer(r"\X", text):
        if (new := unicodedata.normalize("NFC", cluster.group())) != cluster.group():
            yield cluster.start(), cluster.end(), new


def _usual_form(match: re.Match[str]) -> str:
    letter = match.group()
    if letter in _TWINS:
        return _TWINS[letter]
    if letter in _NO_BREAK and _GROUP.match(match.string, match.start()):
        return "\u00a0"
    return "\n" if len(letter) > 1 or re.fullmatch(f"[{_BREAKS}]", letter) else " "


def _visible_part(match: re.Match[str]) -> str:
    """Those of a run of invisible letters that have an effect where they stand."""
    text, run = match.string, match.group()
    before, after = text[max(0, match.start() - 8) : match.start()], text[match.end() : match.end() + 1]
    last = before[-1:]
    joiner = next((letter for letter in run if letter in _JOINERS), "")
    if joiner and not _joins(joiner, before, after):
        joiner = ""
    kept = list[str]()
    for letter in run:
        if letter in _JOINERS:
            kept.append(joiner)
            joiner = ""  # a second one does nothing
        elif "\ufe00" <= letter <= "\ufe0f":
            base = _PICTURE if letter >= "\ufe0e" else _IDEOGRAPH
            kept.append(letter if base.fullmatch(last) and not kept else "")
        elif "\U000e0100" <= letter <= "\U000e01ef":
            kept.append(letter if _IDEOGRAPH.fullmatch(last) and not kept else "")
        elif "\U000e0020" <= letter <= "\U000e007f":
            kept.append(letter if last == _FLAG else "")
        elif "\u180b" <= letter <= "\u180f":
            kept.append(letter if "\u1800" <= last <= "\u18aa" else "")
        elif letter == "\u034f":  # keeps two marks in the order they were written in
            kept.append(letter if _is_mark(last) and _is_mark(after) and not kept else "")
        elif letter in "\u115f\u1160":
            kept.append(letter if _JAMO.fullmatch(last) or _JAMO.fullmatch(after) else "")
    return "".join(kept)


def _joins(joiner: str, before: str, after: str) -> bool:
    """Whether a joiner changes how its neighbours are written."""
    base = before.rstrip(f"{_SKIN}\ufe0f")
    if joiner == "\u200d" and _PICTURE.fullmatch(base[-1:]) and _PICTURE.fullmatch(after):
        return True
    marks = list[str]()
    for letter in reversed(unicodedata.normalize("NFD", before)):
        if not unicodedata.combining(letter):
            break
        marks.append(letter)
    if any(mark in _VIRAMAS for mark in marks) or before[-1:] in tuple(_DEAD):
        return True
    if after and after in _VIRAMAS:
        return unicodedata.category(before[-1:] or " ")[0] in "LM"
    letters = before.rstrip("".join(filter(_is_mark, before)))  # marks do not come between joining letters
    if joiner == "\u200d" and _JOINS_ON.fullmatch(letters[-1:]):
        return True
    return bool(_JOINING.fullmatch(letters[-1:]) and _JOINING.fullmatch(after))


def _is_mark(letter: str) -> bool:
    return bool(letter) and unicodedata.category(letter)[0] == "M"


# The first form: what its table left in stays, white space and no-break blanks collapse.
_FIRST_UNSEEN = dict.fromkeys(
    [0x00AD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
)


def _first(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.translate(_FIRST_UNSEEN).split()))


def _second(text: str) -> str:
    if "\u00a0" not in text:
        return " ".join(text.split())
    return " ".join(filter(None, re.split(r"[ \t\n]+", text)))  # within a number, where it stays


_FORMS: dict[int, Callable[[str], str]] = {FIRST_VERSION: _first, VERSION: _second}
