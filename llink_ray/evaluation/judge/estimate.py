"""What judging will cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llink_ray.evaluation.judge.records import Message
from llink_ray.evaluation.judge.settings import JudgeSettings

REPLY_TOKENS = 50
"""A verdict with one short sentence."""
OVERHEAD = 8
"""Tokens of a chat template, a message."""


def tokens(messages: Iterable[Message]) -> int:
    """Rough: four ASCII letters to a token, one for any other (scripts that tokenizers hardly know)."""
    count = 0
    for message in messages:
        text = message["content"]
        ascii_letters = sum(letter.isascii() for letter in text)
        count += OVERHEAD + -(-ascii_letters // 4) + len(text) - ascii_letters
    return count


@dataclass(frozen=True, slots=True)
class Estimate:
    """Before the first request."""

    contests: int
    """Pairs of answers to judge, each in both orders."""
    of: int
    """Pairs given; the rest is left out by ``max_judgements``."""
    requests: int
    """To make, if every reply can be read and none fails."""
    cached: int
    """Judgements (one order each) that an earlier run has made."""
    tokens_in: int
    """Roughly."""
    tokens_out: int
    """Roughly."""
    cost: float | None
    """In the currency of the prices; None where there are none."""

    def sentence(self) -> str:
        """For a person."""
        text = (
            f"judging {self.contests} of {self.of} pairs of answers in both orders: {self.requests} requests"
        )
        if self.cached:
            text += f" beside {self.cached} verdicts from the cache"
        if self.requests:
            text += f", about {self.tokens_in} tokens in and {self.tokens_out} out"
        if self.cost is not None:
            text += f", cost about {self.cost:.2f}"
        return text


def estimate(
    questions: Iterable[list[Message]], contests: int, of: int, cached: int, settings: JudgeSettings
) -> Estimate:
    """``questions``: the messages of each request that is still to be made."""
    sizes = [tokens(messages) for messages in questions]
    sent = sum(sizes)
    received = len(sizes) * min(REPLY_TOKENS, settings.max_tokens or REPLY_TOKENS)
    cost = None
    if settings.price_in is not None and settings.price_out is not None:
        cost = (sent * settings.price_in + received * settings.price_out) / 1e6
    return Estimate(contests, of, len(sizes), cached, sent, received, cost)
