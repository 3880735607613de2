"""What is judged, and what a judge replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

Order = Literal["ab", "ba"]
"""Whose answer is shown first."""
Verdict = Literal["1", "2", "tie", "unreadable"]
"""Of one case; ``unreadable`` where the judge never gave the JSON asked for."""
Winner = Literal["a", "b", "tie"]
ORDERS: tuple[Order, Order] = ("ab", "ba")


class Message(TypedDict):
    """One message of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Case:
    """A pair of answers as a judge sees it: in one order, and without names."""

    instruction: str
    source: str
    known: str | None
    meaning: str | None
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """Two answers to one question about one text."""

    instruction: str
    source: str
    """The foreign text asked about."""
    known: str | None
    """The true answer, where there is one."""
    meaning: str | None
    """The text in English, where it is known."""
    answer_a: str
    answer_b: str
    side_a: str
    """Who gave answer A: for summary and transcript, never for the judge."""
    side_b: str

    def case(self, order: Order) -> Case:
        """What the judge is shown."""
        first, second = (self.answer_a, self.answer_b) if order == "ab" else (self.answer_b, self.answer_a)
        return Case(self.instruction, self.source, self.known, self.meaning, first, second)


@dataclass(frozen=True, slots=True)
class JudgeResponse:
    """A verdict, and how it came about."""

    verdict: Verdict
    messages: list[Message]
    """All that was sent in the end, unreadable replies among it; empty where nobody was asked."""
    replies: list[str]
    """In order; the last one holds the verdict."""
    requests: int = 0
    """HTTP requests it took, retries among them."""
    tokens_in: int = 0
    """As the endpoint counts them; 0 where it does not."""
    tokens_out: int = 0
    cached: bool = False
    """From the cache: nothing was asked this time."""


class Backend(Protocol):
    """A judge. ``judge`` may be called by several threads at once."""

    remote: bool
    """Whether a verdict costs requests, and so is cached and estimated."""
    identity: str
    """What a verdict depends on beside the messages: endpoint, model, sampling. Never a key."""

    def messages(self, case: Case) -> list[Message]:
        """What would be sent first; empty for a judge that sends nothing.

        Raises:
            LlinkError: this judge cannot judge the case.
        """
        ...

    def judge(self, case: Case) -> JudgeResponse:
        """Judge one case.

        Raises:
            LlinkError: the judge cannot be asked; other cases would fare no better.
        """
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """One pair of answers, judged in both orders."""

    index: int
    """Of the pair among those given."""
    pair: AnswerPair
    winner: Winner
    verdicts: tuple[Verdict, Verdict]
    """As the judge gave them: with A first, then with B first."""


def winner(verdicts: tuple[Verdict, Verdict]) -> Winner:
    """The side that both orders name; anything else (flipped, one tie, unreadable) is a tie."""
    if verdicts == ("1", "2"):
        return "a"
    return "b" if verdicts == ("2", "1") else "tie"
