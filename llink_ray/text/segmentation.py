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

from llink_ray.text.full_stops import cased, caseless, first_sign, small, stands_for_letters
from llink_ray.text.languages import Language

_DOTS = ".․﹒．"
_ELLIPSIS = "…"
_ASKED = "?!？！؟‼⁇⁈⁉‽"
_COMMA = "၊"
"""Unicode counts Burmese commas among what ends a sentence."""
_QUOTED = 400
"""Letters up to which a quotation or bracket inside of a sentence is kept whole."""
_NEAR = 48
"""Letters before and behind a mark that tell what it is."""

_INK = regex.compile(r"[\p{L}\p{N}]")
_BLANKS = regex.compile(r"[\s\p{Cf}]*")
_UNSEEN = regex.compile(r"\p{Cf}+")
_PARAGRAPH = regex.compile(r"\n[^\S\n]*\n\s*")
_ADDRESS = regex.compile(r"(?:[a-z][a-z+.-]{1,20}://|www\.)[!-~]*[\w/#&=%~-]", regex.ASCII | regex.IGNORECASE)
_PAIRS = regex.compile(
    rf"“[^“”]{{1,{_QUOTED}}}”|„[^„“”]{{1,{_QUOTED}}}[“”]|«[^«»]{{1,{_QUOTED}}}»|‹[^‹›]{{1,{_QUOTED}}}›"
    rf"|「[^「」]{{1,{_QUOTED}}}」|『[^『』]{{1,{_QUOTED}}}』|‘[^‘’]{{1,{_QUOTED}}}’(?!\p{{L}})"
    rf"|(?<![\p{{Latin}}\d])\"(?=\S)[^\"]{{1,{_QUOTED}}}(?<=\S)\""
    rf"|\([^()]{{1,{_QUOTED}}}\)|\[[^][]{{1,{_QUOTED}}}\]|（[^（）]{{1,{_QUOTED}}}）|༼[^༼༽]{{1,{_QUOTED}}}༽"
)
_BRACKETS = "([（༼"
_LEADS = ",:;،؛፣፡፦၊៖，：；"
"""Behind one of these a quotation is what was said, and who said so stands before it."""
_LATIN = regex.compile(r"\p{Latin}\P{L}*$")
_COMMAS = ",;:،؛፣፤፥၊、，；：)]}"
_DASHES = "-–—"


def sentences(text: str, language: Language) -> list[str]:
    """The sentences of a text, in order, without the blanks around them."""
    parts = (text[start:end].strip() for start, end in pairwise((0, *sentence_ends(text, language))))
    return [part for part in parts if part]


def sentence_ends(text: str, language: Language) -> list[int]:
    """Offsets in letters behind each sentence of ``text``, the last one's too; none for an empty text.

    What closes a sentence (quotation marks, brackets) belongs to it, blanks to the next. Every sentence has
    a letter or digit, unless the text has none.
    """
    return _Text(text, language).ends() if text else []


class _Text:
    """A text that is being cut."""

    def __init__(self, text: str, language: Language) -> None:
        self.text, self.language = text, language
        self.addresses = [match.span() for match in _ADDRESS.finditer(text)]
        self.pairs = [match.span() for match in _PAIRS.finditer(text) if not _PARAGRAPH.search(match[0])]
        self.closing = {end - 1 for _, end in self.pairs}
        self.since = 0
        """Where the present sentence starts."""

    def ends(self) -> list[int]:
        found, place = list[int](), 0
        while match := _pattern(self.language).search(self.text, place):
            marks, place = self._run(match)
            if not (_INK.search(self.text, self.since, place) and _INK.search(self.text, place)):
                continue
            if match["break"] or self._is_end(marks, place):
                found.append(place)
                self.since = place
        return [*found, len(self.text)]

    def _run(self, match: regex.Match[str]) -> tuple[list[regex.Match[str]], int]:
        """The marks from this one on that only blanks and closing signs part, and where all of that ends."""
        text, marks, place = self.text, [match], match.end()
        while not match["break"] and place < len(text):
            here = _BLANKS.match(text, place).end()
            mark = _pattern(self.language).match(text, here)
            opens = mark and mark["dot"] and here > place and text[mark.end() : mark.end() + 1].isalnum()
            if mark and (mark["break"] or mark["bare"] or opens):
                break
            if mark:
                marks.append(mark)
                place = mark.end()
            elif here < len(text) and self._closes(here, here == place):
                place = here + 1
            else:
                break
        unseen = _UNSEEN.match(text, place)
        return marks, unseen.end() if unseen else place

    def _closes(self, place: int, attached: bool) -> bool:
        """Whether the letter there closes what was opened before; ``attached``: no blank before it."""
        letter, word_follows = self.text[place], self.text[place + 1 : place + 2].isalnum()
        if place in self.closing:
            return True
        if unicodedata.category(letter) in ("Pe", "Pf"):
            return attached or not word_follows
        if letter == '"' and self.text.count('"', self.since, place) % 2:
            return True
        return attached and letter in "\"'“" and not word_follows

    def _is_end(self, marks: Sequence[regex.Match[str]], stop: int) -> bool:
        """Whether marks one after another, closed at ``stop``, end a sentence."""
        kinds = {mark.lastgroup for mark in marks}
        start, marked = marks[-1].span()
        after = self.text[stop : stop + _NEAR]
        if _around(self.addresses, start) or _goes_on(after.lstrip()):
            return False
        if pair := _around(self.pairs, start):
            inside = stop < pair[1]
            if self._embedded(pair) if inside else self._carried_on(pair, after):
                return False
        if "bare" in kinds:
            return True
        if "sure" in kinds:
            return self._sure(marks[0].start(), self.text[marks[0].start() : marked], after)
        before = self.text[max(self.since, start - _NEAR) : start]
        written = "".join(self.text[marks[0].start() : marked].split())
        gap, following = not after[:1].isalnum(), first_sign(after)
        if not gap and not ("asked" in kinds and caseless(following)):
            return False
        # People who write to machines leave out capitals, and sentencex reads Latin letters without them too.
        small_follows = small(following) and cased(before)
        if small_follows and not (written in _DOTS and _LATIN.search(before)):
            return False
        if "asked" in kinds:
            return True
        if _ELLIPSIS in written or (len(written) > 1 and set(written) <= set(_DOTS)):
            return following != following.lower() or after.lstrip()[:1] in tuple('“«„"')
        return written[-1] not in _DOTS or not stands_for_letters(before, after, self.language)

    def _sure(self, start: int, written: str, after: str) -> bool:
        before, following = self.text[max(0, start - _NEAR) : start], after[:1]
        if before[-1:].isdecimal() and following.isdecimal():
            return False
        if written.isascii() and following.isascii() and following.isalnum():
            return False
        word = regex.split(r"[\s་༌]", before.rstrip("་༌ "))[-1]
        return word not in self.language.unfinished

    def _embedded(self, pair: tuple[int, int]) -> bool:
        """Whether a quotation or bracket stands in a sentence that is more than itself."""
        first, last = pair
        if first < self.since:
            return False
        return bool(_INK.search(self.text, self.since, first)) or self._carried_on(
            pair, self.text[last : last + _NEAR]
        )

    def _carried_on(self, pair: tuple[int, int], after: str) -> bool:
        """Whether the sentence goes on behind a quotation or bracket that ends with a mark."""
        rest = after.lstrip()
        following = rest[:1]
        if not following.isalpha():
            return _goes_on(rest)
        if not caseless(following):
            return small(following)
        led = self.text[self.since : pair[0]].rstrip()
        if self.text[pair[0]] in _BRACKETS:
            return bool(_INK.search(led))
        # No capitals: who spoke is said before it, with a comma or colon, or behind it.
        return led[-1:] not in tuple(_LEADS) and bool(_speech(self.language).match(rest))


def _around(spans: Sequence[tuple[int, int]], place: int) -> tuple[int, int] | None:
    """The one of these, in order and apart, that the place lies within."""
    number = bisect_left(spans, (place, 0)) - 1
    return spans[number] if number >= 0 and place < spans[number][1] else None


def _goes_on(rest: str) -> bool:
    """Whether what stands behind a mark cannot begin a sentence."""
    return bool(rest) and (rest[0] in _COMMAS or (rest[0] in _DASHES and small(first_sign(rest))))


@cache
def _speech(language: Language) -> regex.Pattern[str]:
    """What begins with words that say who spoke: one of the first three, or in the first twenty letters."""
    words = "|".join(map(regex.escape, language.said)) or "(?!)"
    return regex.compile(
        rf"(?:[^\s་]+[\s་]+){{0,2}}(?:{words})" if language.parts_words else rf".{{0,20}}(?:{words})"
    )


@cache
def _pattern(language: Language) -> regex.Pattern[str]:
    own = {mark for mark in language.sentence_marks if not mark.isascii() and mark not in _ELLIPSIS + _ASKED}
    sure = "".join(map(regex.escape, sorted(own)))
    others = "".join(mark for mark in language.sentence_marks if mark.isascii() and mark not in ".?!")
    # What is typed in ASCII has other uses: behind letters only.
    typed = "".join(
        (r"(?<=[\p{L}\p{M}]\s?)" if mark.isascii() else "") + r"\s*".join(map(regex.escape, mark)) + "|"
        for mark in language.typed_marks
    )
    unmarked = "|".join(map(regex.escape, language.unmarked)) or "(?!)"
    return regex.compile(
        rf"(?P<break>{_PARAGRAPH.pattern})"
        rf"|(?P<sure>{typed}[{sure}[\p{{Sentence_Terminal}}--[{_ASKED}{_DOTS}{_COMMA}]]]+)"
        rf"|(?P<asked>[{_ASKED}]+)"
        rf"|(?P<dot>[{_DOTS}{_ELLIPSIS}{regex.escape(others)}]+)"
        rf"|(?P<bare>(?<![^\s་])(?:{unmarked})(?=\s+[^\s\p{{P}}]))",
        regex.V1,
    )
