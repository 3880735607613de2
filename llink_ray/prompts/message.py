"""A message in sentences: foreign ones, which become slots, and English ones, which stay text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from llink_ray.errors import TooLong
from llink_ray.settings import SlotSettings
from llink_ray.text.language_runs import language_runs
from llink_ray.text.languages import DECODER_LANGUAGE, Language
from llink_ray.text.numerals import numerals
from llink_ray.text.segmentation import sentences

TEXT_PLACEHOLDER = "\ufffc"  # OBJECT REPLACEMENT CHARACTER
"""Stands in a message where the slots of a foreign sentence go; it is removed from a person's own text."""
SENTENCE_NUMBER = "[{number}]"
"""Stands before each sentence of a message that has several; questions refer to it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence of a message."""

    text: str
    foreign: bool = True
    """Slots stand for it; otherwise it is English, which the decoder reads itself."""


@dataclass(frozen=True, slots=True)
class ForeignSentence:
    """A foreign sentence and what stands for it in the prompt."""

    text: str
    slot_count: int
    """Slots that stand for it; 0 where the text itself is in the prompt."""
    numerals: tuple[str, ...] = ()
    """ASCII numbers beside the slots."""
    language: str = ""
    """Code of the language whose bundle reads it; empty where that is not known."""

    @classmethod
    def of(cls, text: str, slots: SlotSettings, language: Language | None) -> ForeignSentence:
        """``language`` says what separators in numbers mean; without it they stay as written."""
        count = slots.slot_count(text)
        numbers = numerals(text, language) if count and slots.numerals else ()
        return cls(text, count, tuple(numbers), language.code if language else "")

    @property
    def prompt_text(self) -> str:
        """The placeholder with the numerals beside it, or the text itself."""
        if not self.slot_count:
            return self.text
        return f"{TEXT_PLACEHOLDER} ({', '.join(self.numerals)})" if self.numerals else TEXT_PLACEHOLDER


def number_sentences(items: Sequence[str]) -> str:
    """Sentences as one text: one alone as it is, several each behind its :data:`SENTENCE_NUMBER`.

    Text has a space before it, a placeholder has none.
    """
    if len(items) == 1:
        return items[0]
    numbered = (
        f" {SENTENCE_NUMBER.format(number=number)}{'' if item.startswith(TEXT_PLACEHOLDER) else ' '}{item}"
        for number, item in enumerate(items, 1)
    )
    return "".join(numbered)


def split_message(text: str, language: Language, max_sentences: int) -> list[Segment]:
    """The sentences of a message in order.

    Everything but English counts as ``language``, since the language of a few letters is uncertain. With
    ``max_sentences`` = 1 the whole message is one foreign text.

    Raises:
        TooLong: more than ``max_sentences`` foreign sentences.
    """
    if max_sentences == 1:
        return [Segment(text)]
    segments: list[Segment] = []
    for foreign, run in groupby(language_runs(text), lambda span: span.code != DECODER_LANGUAGE.code):
        spans = list(run)
        own = language if foreign else DECODER_LANGUAGE
        segments += [Segment(part, foreign) for part in sentences(text[spans[0].start : spans[-1].end], own)]
    count = sum(segment.foreign for segment in segments)
    if count > max_sentences:
        raise TooLong(
            f"the message has {count} {language.name} sentences, and {max_sentences} fit: give it in parts, "
            "or raise slots.max_sentences"
        )
    return segments or [Segment(text)]
