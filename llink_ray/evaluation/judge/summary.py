"""What many judgements come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llink_ray.evaluation.judge.contest import Contest, Judgement

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate, 0 to 1, and the bootstrap 95 % interval around it."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Length:
    """Mean length of a side's answers."""

    letters: float
    """Characters that are no blanks."""
    words: float
    """Between blanks."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Side A against side B; ``dataclasses.asdict`` makes it JSON."""

    side_a: str
    side_b: str
    contests: int
    wins: int
    """Of side A, in both orders."""
    losses: int
    ties: int
    flipped: int
    """Ties because the judge named the same place in both orders: its position bias."""
    unreadable: int
    """Ties because a reply could not be read."""
    rate: Interval | None
    """A's wins among the contests that somebody won; None where nobody did."""
    rate_ties_half: Interval | None
    """A's wins, a tie as half a win; None without contests."""
    length_a: Length | None
    length_b: Length | None


def bootstrap(wins: int, losses: int, ties: int, seed: int = 0) -> tuple[Interval | None, Interval | None]:
    """(rate with ties set aside, rate with ties as half), each with its percentile interval.

    Contests are drawn with replacement; since a contest is a win, a loss or a tie and nothing else, the
    counts of such a draw are multinomial and are drawn as such. Ties are drawn too, so the number of
    decided contests varies as it would. Where every contest went one way the interval is a point: read it
    together with the counts.
    """
    total, decided = wins + losses + ties, wins + losses
    if not total:
        return None, None
    shares = np.array([wins, losses, ties]) / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, size=RESAMPLES)  # (resamples, 3)
    half = _interval((wins + ties / 2) / total, (drawn[:, 0] + drawn[:, 2] / 2) / total)
    if not decided:
        return None, half
    drawn = drawn[drawn[:, 0] + drawn[:, 1] > 0]  # a draw of ties alone has no such rate
    return _interval(wins / decided, drawn[:, 0] / (drawn[:, 0] + drawn[:, 1])), half


def _interval(rate: float, rates: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(rate, float(low), float(high))


def _length(answers: Sequence[str]) -> Length | None:
    if not answers:
        return None
    letters = sum(len("".join(answer.split())) for answer in answers)
    return Length(letters / len(answers), sum(len(answer.split()) for answer in answers) / len(answers))


def pair(contests: Sequence[Contest]) -> tuple[str, str]:
    """Names of both sides, the same in all contests; empty where there is none.

    Raises:
        ValueError: the contests are of several pairs of sides.
    """
    pairs = {(c.side_a, c.side_b) for c in contests} or {("", "")}
    if len(pairs) > 1:
        raise ValueError(f"contests of {len(pairs)} pairs of sides: judge each pair by itself")
    (names,) = pairs
    return names


def summarise(judgements: Sequence[Judgement], seed: int = 0) -> Summary:
    """The figures of one pair of sides.

    Raises:
        ValueError: the judgements are of several pairs of sides.
    """
    side_a, side_b = pair([j.contest for j in judgements])
    count = Counter(j.winner for j in judgements)
    rate, half = bootstrap(count["a"], count["b"], count["tie"], seed)
    return Summary(
        side_a=side_a,
        side_b=side_b,
        contests=len(judgements),
        wins=count["a"],
        losses=count["b"],
        ties=count["tie"],
        flipped=sum(j.verdicts in (("1", "1"), ("2", "2")) for j in judgements),
        unreadable=sum("unreadable" in j.verdicts for j in judgements),
        rate=rate,
        rate_ties_half=half,
        length_a=_length([j.contest.answer_a for j in judgements]),
        length_b=_length([j.contest.answer_b for j in judgements]),
    )
