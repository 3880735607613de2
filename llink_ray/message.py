"""A message taken apart: foreign sentences, which become slots, and English, which stays text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import regex

from llink_ray.detection import spans
from llink_ray.errors import TooLong
from llink_ray.languages import DECODER_LANGUAGE, Language

MARK = "[{number}]"
"""Stands before each sentence of a message that has several, so that its number can be looked up."""
_CLOSING = r"\s\p{Pe}\p{Pf}\"'"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message."""

    text: str
    foreign: bool = True
    """A foreign sentence, which K slots stand for; else English, which the decoder reads itself."""


def sentences(text: str, language: Language) -> list[str]:
    """The sentences of a text, in order, without the blanks around them.

    Marks of the language's own (``།``, ``។``, ``።``) end one wherever they stand; where it has none but
    ``.?!``, which also stand in abbreviations and numbers, the library sentencex decides.
    """
    own = [mark for mark in language.sentence_marks if not mark.isascii()]
    found = _by_marks(text, language.sentence_marks) if own else _by_rules(text, language)
    return _joined(part.strip() for part in found)


def _by_marks(text: str, marks: Iterable[str]) -> list[str]:
    ends = "".join(map(regex.escape, marks))
    pattern = rf"(?:[^{ends}]|(?<=\d)[{ends}](?=\d))*(?:[{ends}][{ends}{_CLOSING}]*|$)"
    return [match for match in regex.findall(pattern, text, flags=regex.DOTALL) if match]


def _by_rules(text: str, language: Language) -> list[str]:
    from sentencex import segment  # late: most messages need it not

    return list(segment(language.code, text))


def _joined(parts: Iterable[str]) -> list[str]:
    """Parts without a letter or digit go with the one before them, or after it where there is none."""
    found: list[str] = []
    for part in filter(None, parts):
        if found and not (regex.search(r"[\p{L}\p{N}]", part) and regex.search(r"[\p{L}\p{N}]", found[-1])):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


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
    for span in spans(text):
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
