"""What many judgements come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llink_ray.evaluation.judge.records import AnswerPair, Judgement
from llink_ray.metrics.intervals import percentile_interval

RESAMPLES = 10_000


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
    """Characters other than blanks."""
    words: float
    """Between blanks."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Side A against side B; ``dataclasses.asdict`` makes it JSON."""

    side_a: str
    side_b: str
    contests: int
    """Pairs of answers judged."""
    wins: int
    """Of side A, in both orders."""
    losses: int
    ties: int
    flipped: int
    """Ties because the judge named the same position in both orders: its position bias."""
    unreadable: int
    """Ties because a reply could not be read."""
    rate: Interval | None
    """A's wins among the pairs that were decided; None where none was."""
    rate_ties_half: Interval | None
    """A's wins, a tie as half a win; None without pairs."""
    length_a: Length | None
    length_b: Length | None


def bootstrap(wins: int, losses: int, ties: int, seed: int = 0) -> tuple[Interval | None, Interval | None]:
    """(rate with ties set aside, rate with ties as half), each with its percentile interval.

    Pairs are drawn with replacement; as each is a win, a loss or a tie, the counts of a sample are one
    multinomial draw. Ties are drawn too, so the number of decided pairs varies as it would. Where all pairs
    went one way the interval is a point: read it together with the counts.
    """
    total, decided = wins + losses + ties, wins + losses
    if not total:
        return None, None
    shares = np.array([wins, losses, ties]) / total
    samples = np.random.default_rng(seed).multinomial(total, shares, size=RESAMPLES)  # (resamples, 3)
    rates = (samples[:, 0] + samples[:, 2] / 2) / total
    half = Interval((wins + ties / 2) / total, *percentile_interval(rates))
    if not decided:
        return None, half
    samples = samples[samples[:, 0] + samples[:, 1] > 0]  # a sample of ties alone has no such rate
    rates = samples[:, 0] / (samples[:, 0] + samples[:, 1])
    return Interval(wins / decided, *percentile_interval(rates)), half


def _length(answers: Sequence[str]) -> Length | None:
    if not answers:
        return None
    letters = sum(len("".join(answer.split())) for answer in answers)
    return Length(letters / len(answers), sum(len(answer.split()) for answer in answers) / len(answers))


def sides(pairs: Sequence[AnswerPair]) -> tuple[str, str]:
    """Names of both sides, the same in all pairs of answers; empty where there is none.

    Raises:
        ValueError: the answers are of several pairs of sides.
    """
    names = {(pair.side_a, pair.side_b) for pair in pairs} or {("", "")}
    if len(names) > 1:
        raise ValueError(f"answers of {len(names)} pairs of sides: judge each pair by itself")
    return names.pop()


def summarise(judgements: Sequence[Judgement], seed: int = 0) -> Summary:
    """The figures of one pair of sides.

    Raises:
        ValueError: the judgements are of several pairs of sides.
    """
    side_a, side_b = sides([j.pair for j in judgements])
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
        length_a=_length([j.pair.answer_a for j in judgements]),
        length_b=_length([j.pair.answer_b for j in judgements]),
    )
