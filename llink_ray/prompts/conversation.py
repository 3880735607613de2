"""A conversation laid out for the decoder: foreign sentences become slots, everything else stays text.

For one message this is what training writes (``Prompt.with_slots``): instruction, line break, text. Languages
are found span by span, so a message may hold several; slots come from each one's own bundle, the adapter is
that of the language most is said in. Letters that nobody sees are taken out of everything that was said, and
each sentence is brought into the form that its bundle's training text had.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from llink_ray.errors import LlinkError, TooLong
from llink_ray.prompts.message import numbered
from llink_ray.prompts.prompt import PLACE, beside
from llink_ray.settings import SlotSettings
from llink_ray.text.detection import Detection, Span, detect
from llink_ray.text.language_runs import stretches
from llink_ray.text.languages import DECODER_LANGUAGE, Language, find, language_of
from llink_ray.text.normalisation import VERSION, located, normalise, visible
from llink_ray.text.numerals import numerals
from llink_ray.text.segmentation import sentences
from llink_ray.text.zawgyi import NotUnicode

_SENTENCE = re.compile(r"[A-Z0-9\"'(].*[.?!][\"')]*", re.DOTALL)
"""English that stands by itself, not inside a sentence with foreign words."""
_FIGURES = re.compile(r"\s[\s\x20-\x40\x5b-\x60\x7b-\x7e]*\Z")
"""ASCII without letters behind a blank, at the end: of no language, so a stretch before it has it too."""
_READ = ("user", "system", "developer")
"""Roles whose text is looked at; what the decoder itself said stays as it was."""


class LanguageNotServed(LlinkError):
    """Text in a language that nobody taught."""

    place: int | None = None
    """Which of several messages it is in."""

    def __init__(self, language: Language | str | None, taught: Sequence[str]) -> None:
        """``language`` is one of the table, what another is called, or None for a script of none."""
        known = ", ".join(f"{find(code).name} ({code})" for code in taught) or "none"
        what, advice = f"in {language}", f"Write {DECODER_LANGUAGE.name}, or one of these"
        if language is None:
            what = "in a script of no language that is known here"
        elif isinstance(language, Language):
            what = f"in {language.name} ({language.code})"
            advice = f"Teach it: python jobs/train.py --lang={language.code}"
        super().__init__(f"the text is {what}, which is not taught here; taught: {known}. {advice}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of text that slots stand for."""

    code: str
    """Whose bundle reads it."""
    text: str


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """What a stretch of a message was taken for."""

    message: int
    """Place of the message in the conversation."""
    start: int
    """Offset in its text, in characters."""
    end: int
    code: str | None
    """Language, the decoder's own included; None for none of the table."""
    confidence: float
    """0 to 1."""
    sentences: int
    """Slot groups that stand for it; 0 where it stays text."""
    numerals: tuple[str, ...] = ()
    """What stands beside the slots in ASCII digits."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the prompt is made of."""

    said: tuple[tuple[str, str], ...]
    """(role, content), ``PLACE`` for each sentence."""
    raw: tuple[tuple[str, str], ...]
    """The same with the text itself."""
    sentences: tuple[Sentence, ...]
    """In the order of their places."""
    spans: tuple[FoundSpan, ...]
    adapter: str | None
    """Language whose adapter reads on; None for the decoder as it came."""
    instruction_added: bool
    """Whether a message of foreign text alone was given an instruction."""

    def without_system(self) -> Layout:
        """The same without system texts, which no bundle is trained with; those with foreign text stay."""
        read = {span.message for span in self.spans if span.sentences}
        kept = [
            i for i, (role, _) in enumerate(self.said) if role not in ("system", "developer") or i in read
        ]
        if len(kept) == len(self.said):
            return self
        return replace(self, said=tuple(self.said[i] for i in kept), raw=tuple(self.raw[i] for i in kept))


def lay_out(
    messages: Sequence[tuple[str, str]],
    taught: Mapping[str, SlotSettings],
    forced: str | None = None,
    unknown: Literal["refuse", "text"] = "refuse",
    instruction: str | None = None,
    forms: Mapping[str, int] | None = None,
) -> Layout:
    """Lay (role, text) messages out.

    Args:
        messages: the conversation in order.
        taught: what each taught language's bundle was trained with, by code.
        forced: read everything that is not the decoder's language as this one.
        unknown: what becomes of text in a language that is not taught.
        instruction: put before a message that is foreign text alone.
        forms: version of the form that each taught language's bundle reads; the newest where it says none.

    Raises:
        NotTaught: a language that is not taught, where ``unknown`` refuses it.
        TooLong: more sentences in a message than its bundle reads.
        NotUnicode: text in the encoding of a font.
    """
    said, raw, found, placed = list[tuple[str, str]](), list[tuple[str, str]](), [], list[Sentence]()
    adapter, added = None, False
    instruction = visible(instruction) if instruction else instruction
    for number, (role, written) in enumerate(messages):
        if role not in _READ:
            text = visible(written.replace(PLACE, " "))
            said.append((role, text))
            raw.append((role, text))
            continue
        try:
            one = _Message(number, written, taught, forced, unknown, forms or {})
            one.check_length(taught)
        except (LanguageNotServed, TooLong, NotUnicode) as error:
            error.place = number
            raise
        found += one.spans
        placed += one.sentences
        adapter = one.adapter or adapter
        with_instruction = instruction if one.alone and role == "user" else None
        added = added or with_instruction is not None
        said.append((role, one.content(with_instruction, raw=False)))
        raw.append((role, one.content(with_instruction, raw=True)))
    return Layout(tuple(said), tuple(raw), tuple(placed), tuple(found), adapter, added)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a text that slots stand for."""

    start: int
    """Offset in the text as it was sent, in characters, without the blanks around it."""
    end: int
    shown: str
    """``PLACE`` for each of its sentences, with the numerals beside it."""


def lay_out_text(
    text: str,
    segments: Sequence[tuple[int, int]],
    taught: Mapping[str, SlotSettings],
    forced: str | None = None,
    unknown: Literal["refuse", "text"] = "refuse",
    forms: Mapping[str, int] | None = None,
) -> tuple[Layout, tuple[Stretch, ...]]:
    """A text that is read as it stands, nothing moved and no instruction added: slots take the words' places.

    ``segments`` are looked at each by itself; what lies between them is no text.

    Raises:
        NotTaught, TooLong: as :func:`lay_out`.
    """
    layout, found = Layout((), (("user", text),), (), (), None, False), list[Stretch]()
    parts = list[tuple[int, int]]()
    for begin, end in segments:
        figures = _FIGURES.search(text, begin, end)  # what is chosen from is to be read as it stands
        middle = end if figures is None else figures.start()
        parts += [(a, b) for a, b in ((begin, middle), (middle, end)) if text[a:b].strip()]
    for begin, end in parts:
        try:
            one = _Message(0, text[begin:end], taught, forced, unknown, forms or {})
            one.check_length(taught)
        except (LanguageNotServed, TooLong, NotUnicode) as error:
            error.place = 0
            raise
        pieces, spans = iter(one.pieces), list[FoundSpan]()
        for span in one.spans:
            span = replace(span, start=span.start + begin, end=span.end + begin)
            spans.append(span)
            shown = "".join(piece.shown for piece in islice(pieces, max(1, span.sentences)))
            if PLACE in shown:
                written = text[span.start : span.end]
                start = span.start + len(written) - len(written.lstrip())
                found.append(Stretch(start, start + len(written.strip()), shown.strip()))
        layout = replace(
            layout,
            sentences=(*layout.sentences, *one.sentences),
            spans=(*layout.spans, *spans),
            adapter=one.adapter or layout.adapter,
        )
    return layout, tuple(found)


def reader_of(text: str, taught: Mapping[str, SlotSettings], forced: str | None = None) -> str | None:
    """The language of most sentences of a text, which reads it as a whole; None for the decoder's own.

    Raises:
        NotTaught: a language that is not taught.
    """
    return _Message(0, text, taught, forced, "refuse", {}).adapter


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence of a foreign stretch, or a sentence of English."""

    text: str
    """As it was written, with the blanks around it."""
    shown: str
    """With a place instead of the words; as it was written where it stays text."""
    foreign: bool


class _Message:
    """One message, taken apart."""

    def __init__(
        self,
        number: int,
        written: str,
        taught: Mapping[str, SlotSettings],
        forced: str | None,
        unknown: str,
        forms: Mapping[str, int],
    ) -> None:
        self.pieces: list[_Piece] = []
        self.spans: list[FoundSpan] = []
        self.sentences: list[Sentence] = []
        self.counts = Counter[str]()
        """Sentences by language, also those that stay text."""
        seen = located(written.replace(PLACE, " "))
        text, self._forms = seen.text, forms
        for span in stretches(text):
            stretch = text[span.start : span.end]
            told = Detection(span.code, 1.0, span.script) if forced else detect(stretch)
            code = self._code(span, stretch, taught, forced, unknown)
            cut = _cut(stretch, find(code), taught[code]) if code else []
            lane = self._add(stretch, code, cut, taught)
            start = seen.place(span.start) if span.start else 0
            place = (start, seen.place(span.end))
            self.spans.append(FoundSpan(number, *place, code or span.code, told.confidence, len(cut), lane))

    def check_length(self, taught: Mapping[str, SlotSettings]) -> None:
        """Refuse what training has not seen.

        Raises:
            TooLong: more sentences than its bundle reads.
        """
        for code, count in self.counts.items():
            if count > taught[code].max_sentences:
                raise TooLong(
                    f"a message has {count} {find(code).name} sentences, and its bundle reads "
                    f"{taught[code].max_sentences} at once: send it in parts"
                )

    @staticmethod
    def _code(
        span: Span, stretch: str, taught: Mapping[str, SlotSettings], forced: str | None, unknown: str
    ) -> str | None:
        """The bundle that reads it; None where it stays text."""
        own = language_of(span.code)
        if own and span.script == own.font_encoding and (own.code in taught or unknown == "refuse"):
            raise NotUnicode(own)
        letters = sum(map(str.isalpha, stretch))
        if span.code == DECODER_LANGUAGE.code or not letters or (forced and not span.script):
            return None
        if forced:
            return forced
        if span.code in taught:
            return span.code
        if unknown == "refuse" and letters > 1:  # one alone is a formula's, or a name for itself
            raise LanguageNotServed(find(span.code) if span.code else span.other, list(taught))
        return None

    def _add(
        self, stretch: str, code: str | None, cut: list[str], taught: Mapping[str, SlotSettings]
    ) -> tuple[str, ...]:
        """A stretch in its sentences; the numerals beside them."""
        if code is None:
            self.pieces.append(_Piece(stretch, stretch, False))
            return ()
        slots, lane = taught[code], []
        cut = [normalise(one, self._forms.get(code, VERSION)) for one in cut]
        lead, trail = stretch[: len(stretch) - len(stretch.lstrip())], stretch[len(stretch.rstrip()) :]
        for place, one in enumerate(cut):
            numbers = numerals(one, find(code)) if slots.numerals else []
            before = lead if place == 0 else " "
            after = trail if place == len(cut) - 1 else ""
            shown = one if slots.variant == "none" else f"{PLACE}{beside(numbers)}"
            self.pieces.append(_Piece(f"{before}{one}{after}", f"{before}{shown}{after}", True))
            lane += numbers
        self.counts[code] += len(cut)
        if slots.variant != "none":
            self.sentences += [Sentence(code, one) for one in cut]
        return tuple(lane)

    @property
    def adapter(self) -> str | None:
        """The language with the most sentences."""
        return self.counts.most_common(1)[0][0] if self.counts else None

    @property
    def alone(self) -> bool:
        """Whether there is foreign text and no word beside it."""
        english = (letter for piece in self.pieces if not piece.foreign for letter in piece.text)
        return any(piece.foreign for piece in self.pieces) and not any(map(str.isalpha, english))

    def content(self, instruction: str | None, raw: bool) -> str:
        """The pieces put together as training does: instruction, line break, text."""
        asked, body = instruction, self.pieces
        if asked is None and self.counts:
            if not body[-1].foreign and all(piece.foreign for piece in body[:-1]):
                asked, body = body[-1].text.strip(), body[:-1]  # text, then what is asked about it
            elif not body[0].foreign and body[0].text.strip():
                asked, body = body[0].text.rstrip(), body[1:]
        texts = [piece.text if raw else piece.shown for piece in body]
        if _in_turn(body):
            text = _numbered(body, texts)
            text = text if asked else text.strip()
        else:
            text = "".join(texts) if asked is None else "".join(texts).strip()
        return text if not asked else f"{asked}\n{text}"


def _in_turn(body: Sequence[_Piece]) -> bool:
    """Whether these are sentences one after another, or foreign words within English."""
    english = [piece.text.strip() for piece in body if not piece.foreign]
    return any(piece.foreign for piece in body) and all(map(_SENTENCE.fullmatch, english))


def _numbered(body: Sequence[_Piece], texts: Sequence[str]) -> str:
    """Sentences with their numbers, as training writes them."""
    found: list[str] = []
    for piece, text in zip(body, texts, strict=True):
        cut = [text.strip()] if piece.foreign else sentences(text, DECODER_LANGUAGE)
        found += cut if piece.foreign and PLACE in text else [f" {one}" for one in cut]
    return found[0].strip() if len(found) == 1 else numbered(found)


def _cut(text: str, language: Language, slots: SlotSettings) -> list[str]:
    """What each group of slots stands for; a bundle of one text a message was not trained on sentences."""
    return sentences(text, language) if slots.max_sentences > 1 else [text.strip()]
