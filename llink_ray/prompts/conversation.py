"""Finds the foreign sentences of a conversation and the bundle that reads each; all else stays text.

A message is laid out as in training: instruction, line break, text. Languages are detected span by span, so a
message may hold several; slots come from each one's own bundle, the adapter is that of the language with most
sentences. Invisible letters are removed from everything, and each sentence is normalised as its bundle's
training text was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from llink_ray.errors import LlinkError, TooLong
from llink_ray.prompts.message import TEXT_PLACEHOLDER, ForeignSentence, number_sentences
from llink_ray.settings import SlotSettings
from llink_ray.text.detection import Span, detect
from llink_ray.text.language_runs import language_runs
from llink_ray.text.languages import DECODER_LANGUAGE, Language, find, language_of
from llink_ray.text.normalisation import VERSION, normalise, visible, visible_with_offsets
from llink_ray.text.segmentation import sentences
from llink_ray.text.zawgyi import NotUnicode

_ENGLISH_SENTENCE = re.compile(r"[A-Z0-9\"'(].*[.?!][\"')]*", re.DOTALL)
"""English that stands by itself, not inside a sentence with foreign words."""
_TRAILING_ASCII = re.compile(r"\s[\s\x20-\x40\x5b-\x60\x7b-\x7e]*\Z")
"""ASCII without letters behind a space, at the end: of no language, so detection adds it to what precedes."""
_PARSED_ROLES = ("user", "system", "developer")
"""Roles whose text is parsed; what the decoder itself wrote stays as it was."""


class LanguageNotServed(LlinkError):
    """Text in a language that no bundle here reads."""

    index: int | None = None
    """Of the message it is in."""

    def __init__(self, language: Language | str | None, served: Sequence[str]) -> None:
        """``language``: one of the table, the name of another, or None for a script of none."""
        known = ", ".join(f"{find(code).name} ({code})" for code in served) or "none"
        what, advice = f"in {language}", f"Write {DECODER_LANGUAGE.name}, or one of these"
        if language is None:
            what = "in a script of no language that is known here"
        elif isinstance(language, Language):
            what = f"in {language.name} ({language.code})"
            advice = f"Teach it: python jobs/train.py --lang={language.code}"
        super().__init__(f"the text is {what}, which is not taught here; taught: {known}. {advice}")


@dataclass(frozen=True, slots=True)
class LanguageSpan:
    """A span of a message in one language."""

    message: int
    """Index of the message in the conversation."""
    start: int
    """Offset in its text, in characters."""
    end: int
    language: str | None
    """Code, also of the decoder's own language; None for none of the table."""
    confidence: float
    """0 to 1."""
    sentences: tuple[ForeignSentence, ...] = ()
    """Those that a bundle reads; none where the span stays text."""

    @property
    def slot_groups(self) -> int:
        """Number of its sentences that slots stand for."""
        return sum(1 for sentence in self.sentences if sentence.slot_count)

    @property
    def numerals(self) -> list[str]:
        """What stands beside the slots in ASCII digits."""
        return [number for sentence in self.sentences for number in sentence.numerals]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A parsed conversation."""

    messages: tuple[tuple[str, str], ...]
    """(role, content) with ``TEXT_PLACEHOLDER`` for each sentence that slots stand for."""
    raw_messages: tuple[tuple[str, str], ...]
    """The same with the text itself."""
    spans: tuple[LanguageSpan, ...] = ()
    adapter: str | None = None
    """Language whose adapter is used; None for the decoder without one."""
    instruction_added: bool = False
    """Whether a message of foreign text alone was given an instruction."""

    @property
    def sentences(self) -> tuple[ForeignSentence, ...]:
        """Those that slots stand for, in the order of their placeholders."""
        return tuple(one for span in self.spans for one in span.sentences if one.slot_count)

    def without_system(self) -> Conversation:
        """The same without system texts, which no bundle is trained with; those with foreign text stay."""
        foreign = {span.message for span in self.spans if span.sentences}
        remaining = [
            i
            for i, (role, _) in enumerate(self.messages)
            if role not in ("system", "developer") or i in foreign
        ]
        if len(remaining) == len(self.messages):
            return self
        return replace(
            self,
            messages=tuple(self.messages[i] for i in remaining),
            raw_messages=tuple(self.raw_messages[i] for i in remaining),
        )


@dataclass(frozen=True, slots=True)
class SlotRegion:
    """A region of a text that slots stand for."""

    start: int
    """Offset in the text, in characters, without the white space around it."""
    end: int
    prompt_text: str
    """``TEXT_PLACEHOLDER`` for each of its sentences, with the numerals beside it."""


@dataclass(frozen=True)
class ConversationParser:
    """Parses conversations for the bundles that are served."""

    bundles: Mapping[str, SlotSettings]
    """Slot settings of each served language's bundle, by code."""
    forced_language: str | None = None
    """Read everything that is not in the decoder's language as this one."""
    unknown: Literal["refuse", "text"] = "refuse"
    """What becomes of text in a language that is not served."""
    normalisation: Mapping[str, int] = field(default_factory=dict)
    """Version of the normalisation of a language's bundle; the newest where there is none."""

    def parse(self, messages: Sequence[tuple[str, str]], instruction: str | None = None) -> Conversation:
        """Parse (role, text) messages; ``instruction`` is put before one of foreign text alone.

        Raises:
            LanguageNotServed: text in a language that is not served, where ``unknown`` refuses it.
            TooLong: more sentences in a message than its bundle reads.
            NotUnicode: text in the encoding of a font.
        """
        shown, raw, spans = list[tuple[str, str]](), list[tuple[str, str]](), list[LanguageSpan]()
        adapter, instruction_added = None, False
        instruction = visible(instruction) if instruction else instruction
        for index, (role, text) in enumerate(messages):
            if role not in _PARSED_ROLES:
                plain = visible(text.replace(TEXT_PLACEHOLDER, " "))
                shown.append((role, plain))
                raw.append((role, plain))
                continue
            message = self._message(index, text)
            spans += message.spans
            adapter = message.main_language or adapter
            added = instruction if role == "user" and message.is_foreign_alone else None
            instruction_added = instruction_added or added is not None
            shown.append((role, message.content(added)))
            raw.append((role, message.content(added, raw=True)))
        return Conversation(tuple(shown), tuple(raw), tuple(spans), adapter, instruction_added)

    def parse_text(
        self, text: str, ranges: Sequence[tuple[int, int]]
    ) -> tuple[Conversation, tuple[SlotRegion, ...]]:
        """Parse a text that stays as it stands: nothing moves, and slots take the place of the foreign words.

        ``ranges`` are parsed each by itself; what lies between them is no text.

        Raises:
            LanguageNotServed, TooLong, NotUnicode: as :meth:`parse`.
        """
        bounds = list[tuple[int, int]]()
        for start, end in ranges:
            trailing = _TRAILING_ASCII.search(text, start, end)  # such as the options to choose from
            middle = end if trailing is None else trailing.start()
            bounds += [(a, b) for a, b in ((start, middle), (middle, end)) if text[a:b].strip()]
        spans, regions, adapter = list[LanguageSpan](), list[SlotRegion](), None
        for offset, end in bounds:
            message = self._message(0, text[offset:end])
            adapter = message.main_language or adapter
            for span, pieces in zip(message.spans, message.pieces, strict=True):
                start, stop = span.start + offset, span.end + offset
                spans.append(replace(span, start=start, end=stop))
                prompt_text = "".join(piece.shown for piece in pieces)
                if TEXT_PLACEHOLDER in prompt_text:
                    words = text[start:stop]
                    start += len(words) - len(words.lstrip())
                    regions.append(SlotRegion(start, start + len(words.strip()), prompt_text.strip()))
        messages = (("user", text),)
        return Conversation(messages, messages, tuple(spans), adapter), tuple(regions)

    def main_language(self, text: str) -> str | None:
        """The language of most sentences of a text; None for the decoder's own.

        Raises:
            LanguageNotServed: text in a language that is not served.
            NotUnicode: text in the encoding of a font.
        """
        return self._parsed(0, text).main_language

    def _message(self, index: int, text: str) -> _Message:
        """One message, refused where it has more sentences than training has seen."""
        try:
            message = self._parsed(index, text)
            for code, count in message.sentence_counts().items():
                if count > self.bundles[code].max_sentences:
                    raise TooLong(
                        f"a message has {count} {find(code).name} sentences, and its bundle reads "
                        f"{self.bundles[code].max_sentences} at once: send it in parts"
                    )
        except (LanguageNotServed, TooLong, NotUnicode) as error:
            error.index = index
            raise
        return message

    def _parsed(self, index: int, text: str) -> _Message:
        visible_text = visible_with_offsets(text.replace(TEXT_PLACEHOLDER, " "))
        spans, pieces = list[LanguageSpan](), list[list[_Piece]]()
        for stretch in language_runs(visible_text.text):
            words = visible_text.text[stretch.start : stretch.end]
            confidence = 1.0 if self.forced_language else detect(words).confidence
            code = self._bundle_of(stretch, words)
            cut = self._foreign_sentences(words, code) if code else ()
            start = visible_text.original_offset(stretch.start) if stretch.start else 0
            end = visible_text.original_offset(stretch.end)
            spans.append(LanguageSpan(index, start, end, code or stretch.code, confidence, cut))
            pieces.append(_pieces(words, cut))
        return _Message(spans, pieces)

    def _bundle_of(self, stretch: Span, words: str) -> str | None:
        """Code of the bundle that reads it; None where it stays text."""
        language = language_of(stretch.code)
        in_font = language and stretch.script == language.font_encoding
        if language and in_font and (language.code in self.bundles or self.unknown == "refuse"):
            raise NotUnicode(language)
        letters = sum(map(str.isalpha, words))
        if (
            stretch.code == DECODER_LANGUAGE.code
            or not letters
            or (self.forced_language and not stretch.script)
        ):
            return None
        if self.forced_language:
            return self.forced_language
        if stretch.code in self.bundles:
            return stretch.code
        if self.unknown == "refuse" and letters > 1:  # a single letter is a formula's, or a name for itself
            raise LanguageNotServed(find(stretch.code) if stretch.code else stretch.other, list(self.bundles))
        return None

    def _foreign_sentences(self, words: str, code: str) -> tuple[ForeignSentence, ...]:
        """A bundle that was not trained on several sentences reads the stretch as one text."""
        slots, language = self.bundles[code], find(code)
        version = self.normalisation.get(code, VERSION)
        texts = sentences(words, language) if slots.max_sentences > 1 else [words.strip()]
        return tuple(ForeignSentence.of(normalise(text, version), slots, language) for text in texts)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A foreign sentence, or a stretch of English, with the white space around it."""

    text: str
    shown: str
    """With a placeholder instead of a sentence that slots stand for."""
    sentence: ForeignSentence | None = None


def _pieces(words: str, foreign: Sequence[ForeignSentence]) -> list[_Piece]:
    """A stretch in its sentences; English as it is."""
    if not foreign:
        return [_Piece(words, words)]
    leading, trailing = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :]
    pieces = list[_Piece]()
    for number, sentence in enumerate(foreign, 1):
        before = leading if number == 1 else " "
        after = trailing if number == len(foreign) else ""
        shown = f"{before}{sentence.prompt_text}{after}"
        pieces.append(_Piece(f"{before}{sentence.text}{after}", shown, sentence))
    return pieces


@dataclass(frozen=True, slots=True)
class _Message:
    """One message, taken apart."""

    spans: list[LanguageSpan]
    pieces: list[list[_Piece]]
    """Of each span."""

    def sentence_counts(self) -> Counter[str]:
        """Sentences by language, also those that stay text."""
        return Counter(one.language for span in self.spans for one in span.sentences)

    @property
    def main_language(self) -> str | None:
        """The language with the most sentences."""
        counts = self.sentence_counts()
        return counts.most_common(1)[0][0] if counts else None

    @property
    def is_foreign_alone(self) -> bool:
        """Whether there is foreign text and no word beside it."""
        pieces = [piece for span in self.pieces for piece in span]
        english = "".join(piece.text for piece in pieces if not piece.sentence)
        return any(piece.sentence for piece in pieces) and not any(map(str.isalpha, english))

    def content(self, instruction: str | None, raw: bool = False) -> str:
        """Instruction, line break, text; the instruction is what stands before the text or behind it.

        ``raw``: with the text itself instead of placeholders.
        """
        body = [piece for span in self.pieces for piece in span]
        if instruction is None and any(piece.sentence for piece in body):
            if not body[-1].sentence and all(piece.sentence for piece in body[:-1]):
                instruction, body = body[-1].text.strip(), body[:-1]
            elif not body[0].sentence and body[0].text.strip():
                instruction, body = body[0].text.rstrip(), body[1:]
        words = [piece.text if raw else piece.shown for piece in body]
        if _is_passage(body):
            items = list[str]()
            for piece, text in zip(body, words, strict=True):
                items += [text.strip()] if piece.sentence else sentences(text, DECODER_LANGUAGE)
            content = number_sentences(items) if instruction else number_sentences(items).strip()
        else:
            content = "".join(words) if instruction is None else "".join(words).strip()
        return f"{instruction}\n{content}" if instruction else content


def _is_passage(body: Sequence[_Piece]) -> bool:
    """Whether these are sentences one after another, not foreign words within English."""
    english = [piece.text.strip() for piece in body if not piece.sentence]
    return any(piece.sentence for piece in body) and all(map(_ENGLISH_SENTENCE.fullmatch, english))
