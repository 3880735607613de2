"""A conversation laid out for the decoder: foreign sentences become slots, everything else stays text.

For one message this is what training writes (``Prompt.with_slots``): instruction, line break, text. Languages
are found span by span, so a message may hold several; slots come from each one's own bundle, the adapter is
that of the language most is said in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llink_ray.detection import Detection, Span, detect, spans
from llink_ray.errors import LlinkError
from llink_ray.languages import DECODER_LANGUAGE, Language, find
from llink_ray.message import sentences
from llink_ray.models.prompt import PLACE, beside
from llink_ray.numerals import numerals
from llink_ray.settings import SlotSettings

_READ = ("user", "system", "developer")
"""Roles whose text is looked at; what the decoder itself said stays as it was."""


class NotTaught(LlinkError):
    """Text in a language that nobody taught."""

    def __init__(self, language: Language, taught: Sequence[str]) -> None:
        known = ", ".join(f"{find(code).name} ({code})" for code in taught) or "none"
        super().__init__(
            f"the text is in {language.name} ({language.code}), which is not taught here; taught: {known}. "
            f"Teach it: python jobs/train.py --lang={language.code}"
        )
        self.language = language


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


def lay_out(
    messages: Sequence[tuple[str, str]],
    taught: Mapping[str, SlotSettings],
    forced: str | None = None,
    unknown: Literal["refuse", "text"] = "refuse",
    instruction: str | None = None,
) -> Layout:
    """Lay (role, text) messages out.

    Args:
        messages: the conversation in order.
        taught: what each taught language's bundle was trained with, by code.
        forced: read everything that is not the decoder's language as this one.
        unknown: what becomes of text in a language that is not taught.
        instruction: put before a message that is foreign text alone.

    Raises:
        NotTaught: a language that is not taught, where ``unknown`` refuses it.
        LlinkError: more sentences in a message than its bundle reads.
    """
    said, raw, found, placed = list[tuple[str, str]](), list[tuple[str, str]](), [], list[Sentence]()
    adapter, added = None, False
    for number, (role, text) in enumerate(messages):
        text = text.replace(PLACE, " ")
        if role not in _READ:
            said.append((role, text))
            raw.append((role, text))
            continue
        one = _Message(number, text, taught, forced, unknown)
        found += one.spans
        placed += one.sentences
        adapter = one.adapter or adapter
        with_instruction = instruction if one.alone and role == "user" else None
        added = added or with_instruction is not None
        said.append((role, one.content(one.pieces, with_instruction)))
        raw.append((role, one.content(one.texts, with_instruction)))
    return Layout(tuple(said), tuple(raw), tuple(placed), tuple(found), adapter, added)


class _Message:
    """One message, taken apart."""

    def __init__(
        self, number: int, text: str, taught: Mapping[str, SlotSettings], forced: str | None, unknown: str
    ) -> None:
        self.texts: list[str] = []
        """Stretches as they were written."""
        self.pieces: list[str] = []
        """The same with places for foreign sentences."""
        self.foreign: list[bool] = []
        self.spans: list[FoundSpan] = []
        self.sentences: list[Sentence] = []
        self.counts = Counter[str]()
        """Sentences by language, also those that stay text."""
        for span in spans(text):
            stretch = text[span.start : span.end]
            told = Detection(span.code, 1.0, span.script) if forced else detect(stretch)
            code = self._code(span, taught, forced, unknown)
            cut = _cut(stretch, find(code), taught[code]) if code else []
            self._add(stretch, code, cut, taught)
            lane = [n for one in cut for n in self._numerals(one, code, taught)] if code else []
            shown = code or span.code
            self.spans.append(
                FoundSpan(number, span.start, span.end, shown, told.confidence, len(cut), tuple(lane))
            )
        self._check(taught)

    @staticmethod
    def _code(span: Span, taught: Mapping[str, SlotSettings], forced: str | None, unknown: str) -> str | None:
        """The bundle that reads it; None where it stays text."""
        if span.code == DECODER_LANGUAGE.code or (span.code is None and not (forced and span.script)):
            return None
        if forced:
            return forced
        assert span.code is not None, "spans without a language are text"
        if span.code in taught:
            return span.code
        if unknown == "refuse":
            raise NotTaught(find(span.code), list(taught))
        return None

    def _add(
        self, stretch: str, code: str | None, cut: list[str], taught: Mapping[str, SlotSettings]
    ) -> None:
        piece = stretch
        if code and cut and taught[code].variant != "none":
            body = " ".join(f"{PLACE}{beside(self._numerals(one, code, taught))}" for one in cut)
            lead = stretch[: len(stretch) - len(stretch.lstrip())]
            piece = f"{lead}{body}{stretch[len(stretch.rstrip()) :]}"
            self.sentences += [Sentence(code, one) for one in cut]
        self.counts.update([code] * len(cut) if code else [])
        self.texts.append(stretch)
        self.pieces.append(piece)
        self.foreign.append(code is not None)

    @staticmethod
    def _numerals(sentence: str, code: str, taught: Mapping[str, SlotSettings]) -> list[str]:
        return numerals(sentence, find(code)) if taught[code].numerals else []

    def _check(self, taught: Mapping[str, SlotSettings]) -> None:
        for code, count in self.counts.items():
            most = taught[code].max_sentences
            if count > most:
                raise LlinkError(
                    f"a message has {count} {find(code).name} sentences, and its bundle reads {most} at "
                    "once: send it in parts"
                )

    @property
    def adapter(self) -> str | None:
        """The language with the most sentences."""
        return self.counts.most_common(1)[0][0] if self.counts else None

    @property
    def alone(self) -> bool:
        """Whether there is foreign text and no word beside it."""
        beside_it = "".join(
            t for t, is_foreign in zip(self.texts, self.foreign, strict=True) if not is_foreign
        )
        return any(self.foreign) and not any(letter.isalpha() for letter in beside_it)

    def content(self, pieces: Sequence[str], instruction: str | None) -> str:
        """The pieces put together as training does: instruction, line break, text."""
        if instruction is not None:
            return f"{instruction}\n{''.join(pieces)}"
        if self.foreign == [True, False]:  # text, then what is asked about it
            return f"{pieces[1].strip()}\n{pieces[0].strip()}"
        if len(pieces) > 1 and not self.foreign[0] and self.foreign[1] and pieces[0].strip():
            return f"{pieces[0].rstrip()}\n{''.join(pieces[1:]).lstrip()}"
        return "".join(pieces)


def _cut(text: str, language: Language, slots: SlotSettings) -> list[str]:
    """What each group of slots stands for; a bundle of one text a message was not trained on sentences."""
    return sentences(text, language) if slots.max_sentences > 1 else [text.strip()]
