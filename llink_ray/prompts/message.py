"""A message taken apart: foreign sentences, which become slots, and English, which stays text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llink_ray.errors import TooLong
from llink_ray.text.language_runs import stretches
from llink_ray.text.languages import DECODER_LANGUAGE, Language
from llink_ray.text.segmentation import sentences

MARK = "[{number}]"
"""Stands before each sentence of a message that has several, so that its number can be looked up."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message."""

    text: str
    foreign: bool = True
    """A foreign sentence, which K slots stand for; else English, which the decoder reads itself."""


def numbered(texts: Sequence[str]) -> str:
    """Sentences as one text, each behind a blank and its :data:`MARK`; one alone stays as it is.

    Nothing comes between a mark and what follows: words begin with their own blank, slots have none.
    """
    if len(texts) == 1:
        return texts[0]
    return "".join(f" {MARK.format(number=number)}{text}" for number, text in enumerate(texts, 1))


def message_parts(text: str, language: Language, most: int) -> list[Part]:
    """The sentences of a message in order: foreign ones, and English ones, which stay text.

    Everything but English counts as the taught language: a span of a few letters is hardly told from its
    neighbours. With ``most`` = 1 the message is one foreign text, however long.

    Raises:
        TooLong: more than ``most`` foreign sentences.
    """
    if most == 1:
        return [Part(text)]
    runs: list[tuple[str, bool]] = []
    for span in stretches(text):
        foreign = span.code != DECODER_LANGUAGE.code
        piece = text[span.start : span.end]
        if runs and runs[-1][1] == foreign:
            runs[-1] = (runs[-1][0] + piece, foreign)
        else:
            runs.append((piece, foreign))
    found: list[Part] = []
    for piece, foreign in runs or [(text, True)]:
        cut = sentences(piece, language if foreign else DECODER_LANGUAGE)
        found += [Part(part, foreign) for part in cut]
    count = sum(part.foreign for part in found)
    if count > most:
        raise TooLong(
            f"the message has {count} {language.name} sentences, and {most} fit: give it in parts, or raise "
            "slots.max_sentences"
        )
    return found or [Part(text)]
