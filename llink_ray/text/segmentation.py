"""Where the sentences of a text end.

A language's own marks (``།``, ``។``, ``።``) end one nearly wherever they stand. ``.`` does so too seldom to
go by it alone: shortened words, initials, numbers and addresses have it, and the library sentencex knows many
of them, those of English best. Where nothing tells, nothing is cut.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import regex

from llink_ray.text.abbreviations import ends_cased, first_visible, is_abbreviation, is_caseless, is_small
from llink_ray.text.languages import Language

_DOTS = ".․﹒．"
_ELLIPSIS = "…"
_QUESTION_MARKS = "?!？！؟‼⁇⁈⁉‽"
_COMMA = "၊"
"""The Burmese comma, which has Unicode's property Sentence_Terminal."""
_MAX_QUOTED = 400
"""Characters of the longest quotation or bracket that is kept whole within a sentence."""
_CONTEXT = 48
"""Characters before and after a mark that decide what it is."""

_WORD_CHARACTER = regex.compile(r"[\p{L}\p{N}]")
_BLANKS = regex.compile(r"[\s\p{Cf}]*")
_FORMAT = regex.compile(r"\p{Cf}+")
_PARAGRAPH = regex.compile(r"\n[^\S\n]*\n\s*")
_ADDRESS = regex.compile(r"(?:[a-z][a-z+.-]{1,20}://|www\.)[!-~]*[\w/#&=%~-]", regex.ASCII | regex.IGNORECASE)
_PAIRS = regex.compile(
    rf"“[^“”]{{1,{_MAX_QUOTED}}}”|„[^„“”]{{1,{_MAX_QUOTED}}}[“”]|«[^«»]{{1,{_MAX_QUOTED}}}»|‹[^‹›]{{1,{_MAX_QUOTED}}}›"
    rf"|「[^「」]{{1,{_MAX_QUOTED}}}」|『[^『』]{{1,{_MAX_QUOTED}}}』|‘[^‘’]{{1,{_MAX_QUOTED}}}’(?!\p{{L}})"
    rf"|(?<![\p{{Latin}}\d])\"(?=\S)[^\"]{{1,{_MAX_QUOTED}}}(?<=\S)\""
    rf"|\([^()]{{1,{_MAX_QUOTED}}}\)|\[[^][]{{1,{_MAX_QUOTED}}}\]|（[^（）]{{1,{_MAX_QUOTED}}}）|༼[^༼༽]{{1,{_MAX_QUOTED}}}༽"
)
_BRACKETS = "([（༼"
_SPEECH_MARKS = ",:;،؛፣፡፦၊៖，：；"
"""A quotation after one of these is speech, and its speaker stands before it."""
_LATIN = regex.compile(r"\p{Latin}\P{L}*$")
_COMMAS = ",;:،؛፣፤፥၊、，；：)]}"
_DASHES = "-–—"


def sentences(text: str, language: Language) -> list[str]:
    """The sentences of a text in order, stripped."""
    parts = (text[start:end].strip() for start, end in pairwise((0, *sentence_ends(text, language))))
    return [part for part in parts if part]


def sentence_ends(text: str, language: Language) -> list[int]:
    """End offsets of the sentences of ``text`` in characters; empty for an empty text.

    Closing quotation marks and brackets belong to their sentence, blanks to the next. Every sentence has a
    letter or digit, unless the text has none.
    """
    return _Segmenter(text, language).ends() if text else []


class _Segmenter:
    """State of one text that is being split."""

    def __init__(self, text: str, language: Language) -> None:
        self.text, self.language = text, language
        self.addresses = [match.span() for match in _ADDRESS.finditer(text)]
        self.pairs = [match.span() for match in _PAIRS.finditer(text) if not _PARAGRAPH.search(match[0])]
        self.closing = {end - 1 for _, end in self.pairs}
        self.sentence_start = 0
        """Offset at which the current sentence starts."""

    def ends(self) -> list[int]:
        ends, position = list[int](), 0
        while match := _pattern(self.language).search(self.text, position):
            marks, position = self._mark_run(match)
            if not (
                _WORD_CHARACTER.search(self.text, self.sentence_start, position)
                and _WORD_CHARACTER.search(self.text, position)
            ):
                continue
            if match["break"] or self._is_end(marks, position):
                ends.append(position)
                self.sentence_start = position
        return [*ends, len(self.text)]

    def _mark_run(self, match: regex.Match[str]) -> tuple[list[regex.Match[str]], int]:
        """This mark and those after it with only blanks and closing signs between, and the end of the run."""
        text, marks, position = self.text, [match], match.end()
        while not match["break"] and position < len(text):
            next_start = _BLANKS.match(text, position).end()
            mark = _pattern(self.language).match(text, next_start)
            opens = (
                mark and mark["dot"] and next_start > position and text[mark.end() : mark.end() + 1].isalnum()
            )
            if mark and (mark["break"] or mark["bare"] or opens):
                break
            if mark:
                marks.append(mark)
                position = mark.end()
            elif next_start < len(text) and self._closes(next_start, next_start == position):
                position = next_start + 1
            else:
                break
        unseen = _FORMAT.match(text, position)
        return marks, unseen.end() if unseen else position

    def _closes(self, position: int, attached: bool) -> bool:
        """Whether the character closes something opened before; ``attached``: no blank before it."""
        letter, word_follows = self.text[position], self.text[position + 1 : position + 2].isalnum()
        if position in self.closing:
            return True
        if unicodedata.category(letter) in ("Pe", "Pf"):
            return attached or not word_follows
        if letter == '"' and self.text.count('"', self.sentence_start, position) % 2:
            return True
        return attached and letter in "\"'“" and not word_follows

    def _is_end(self, marks: Sequence[regex.Match[str]], stop: int) -> bool:
        """Whether a run of marks that is closed at ``stop`` ends a sentence."""
        kinds = {mark.lastgroup for mark in marks}
        start, marked = marks[-1].span()
        after = self.text[stop : stop + _CONTEXT]
        if _enclosing(self.addresses, start) or _cannot_begin(after.lstrip()):
            return False
        if pair := _enclosing(self.pairs, start):
            inside = stop < pair[1]
            if self._is_embedded(pair) if inside else self._continues_after(pair, after):
                return False
        if "bare" in kinds:
            return True
        if "sure" in kinds:
            return self._is_certain_end(marks[0].start(), self.text[marks[0].start() : marked], after)
        before = self.text[max(self.sentence_start, start - _CONTEXT) : start]
        written = "".join(self.text[marks[0].start() : marked].split())
        gap, following = not after[:1].isalnum(), first_visible(after)
        if not gap and not ("asked" in kinds and is_caseless(following)):
            return False
        # People leave out capitals in messages, and sentencex handles Latin letters without them.
        small_follows = is_small(following) and ends_cased(before)
        if small_follows and not (written in _DOTS and _LATIN.search(before)):
            return False
        if "asked" in kinds:
            return True
        if _ELLIPSIS in written or (len(written) > 1 and set(written) <= set(_DOTS)):
            return following != following.lower() or after.lstrip()[:1] in tuple('“«„"')
        return written[-1] not in _DOTS or not is_abbreviation(before, after, self.language)

    def _is_certain_end(self, start: int, written: str, after: str) -> bool:
        before, following = self.text[max(0, start - _CONTEXT) : start], after[:1]
        if before[-1:].isdecimal() and following.isdecimal():
            return False
        if written.isascii() and following.isascii() and following.isalnum():
            return False
        word = regex.split(r"[\s་༌]", before.rstrip("་༌ "))[-1]
        return word not in self.language.clause_words

    def _is_embedded(self, pair: tuple[int, int]) -> bool:
        """Whether a quotation or bracket is part of a longer sentence."""
        first, last = pair
        if first < self.sentence_start:
            return False
        return bool(_WORD_CHARACTER.search(self.text, self.sentence_start, first)) or self._continues_after(
            pair, self.text[last : last + _CONTEXT]
        )

    def _continues_after(self, pair: tuple[int, int], after: str) -> bool:
        """Whether the sentence continues after a quotation or bracket that ends with a mark."""
        rest = after.lstrip()
        following = rest[:1]
        if not following.isalpha():
            return _cannot_begin(rest)
        if not is_caseless(following):
            return is_small(following)
        lead = self.text[self.sentence_start : pair[0]].rstrip()
        if self.text[pair[0]] in _BRACKETS:
            return bool(_WORD_CHARACTER.search(lead))
        # Without capitals: the speaker stands before it, with a comma or colon, or after it.
        return lead[-1:] not in tuple(_SPEECH_MARKS) and bool(_speech(self.language).match(rest))


def _enclosing(spans: Sequence[tuple[int, int]], position: int) -> tuple[int, int] | None:
    """The span that contains the position, of spans in order that do not overlap."""
    index = bisect_left(spans, (position, 0)) - 1
    return spans[index] if index >= 0 and position < spans[index][1] else None


def _cannot_begin(rest: str) -> bool:
    """Whether the text after a mark cannot begin a sentence."""
    return bool(rest) and (rest[0] in _COMMAS or (rest[0] in _DASHES and is_small(first_visible(rest))))


@cache
def _speech(language: Language) -> regex.Pattern[str]:
    """Matches text with a speech word among its first three words, or in its first twenty characters."""
    words = "|".join(map(regex.escape, language.speech_words)) or "(?!)"
    return regex.compile(
        rf"(?:[^\s་]+[\s་]+){{0,2}}(?:{words})" if language.separates_words else rf".{{0,20}}(?:{words})"
    )


@cache
def _pattern(language: Language) -> regex.Pattern[str]:
    own = {
        mark
        for mark in language.sentence_marks
        if not mark.isascii() and mark not in _ELLIPSIS + _QUESTION_MARKS
    }
    sure = "".join(map(regex.escape, sorted(own)))
    others = "".join(mark for mark in language.sentence_marks if mark.isascii() and mark not in ".?!")
    # Marks typed in ASCII have other uses, so they count only after letters.
    typed = "".join(
        (r"(?<=[\p{L}\p{M}]\s?)" if mark.isascii() else "") + r"\s*".join(map(regex.escape, mark)) + "|"
        for mark in language.typed_marks
    )
    sentence_words = "|".join(map(regex.escape, language.sentence_words)) or "(?!)"
    return regex.compile(
        rf"(?P<break>{_PARAGRAPH.pattern})"
        rf"|(?P<sure>{typed}[{sure}[\p{{Sentence_Terminal}}--[{_QUESTION_MARKS}{_DOTS}{_COMMA}]]]+)"
        rf"|(?P<asked>[{_QUESTION_MARKS}]+)"
        rf"|(?P<dot>[{_DOTS}{_ELLIPSIS}{regex.escape(others)}]+)"
        rf"|(?P<bare>(?<![^\s་])(?:{sentence_words})(?=\s+[^\s\p{{P}}]))",
        regex.V1,
    )
