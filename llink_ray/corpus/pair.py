"""The unit of every corpus: one foreign sentence with its English."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask of a pair whose answer is known."""

    kind: str
    """Type of question, as the figures group it: ``who``, ``how_many``, ``summarise`` …"""
    instruction: str
    """What the decoder is told, in English."""
    answer: str
    """The known answer, in English."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A foreign text and its English; ``line`` is 1-based in the file it came from, 0 if from none."""

    foreign: str
    english: str
    questions: tuple[Question, ...] = ()
    line: int = 0
