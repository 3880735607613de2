"""The unit of every corpus: one foreign sentence with its English."""

from __future__ import annotations

from dataclasses import dataclass

TRANSLATION_KIND = "translate"
"""Kind of the question that every pair can answer: with its English."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask of a pair whose answer is known."""

    kind: str
    """Type of question, as the figures group it: ``who``, ``how_many``, ``summarise`` …"""
    instruction: str
    """What the decoder is told, in English."""
    answer: str
    """The known answer, in English."""
    choices: tuple[str, ...] = ()
    """Answers to choose among, the known one with them; empty where any words will do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A foreign text and its English."""

    foreign: str
    english: str
    questions: tuple[Question, ...] = ()
    line: int = 0
    """1-based in the file it came from, 0 if from none."""
    source: str = ""
    """Where the text comes from, as the file names it: a collection, a book; empty where it does not say."""
    fault: str = ""
    """Why its line cannot be used, where its reader saw that; such a pair has no text."""
    language: str = ""
    """Code of the foreign side, where pairs of several languages stand together."""
