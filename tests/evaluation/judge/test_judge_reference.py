"""The judge for known answers, and the figures of many judgements."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from judge_server import answer_pair

from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge import AnswerPair, Reference, judge, summarise
from llink_ray.evaluation.judge.records import Judgement, Verdict, winner
from llink_ray.evaluation.judge.summary import bootstrap


@pytest.mark.parametrize(
    ("a", "b", "wins"),
    [
        ("Thirty six.", "thirty five", "a"),
        ("thirty", " THIRTY  SIX", "b"),
        ("thirty six", "Thirty six!", "tie"),
        ("thirty six pigs", "a dog barks", "a"),
        ("thirty siz", "dog", "a"),
        ("", "thirty", "b"),
        ("", " ", "tie"),
        ("dog", "cat", "tie"),
    ],
)
def test_exact_beats_near_beats_far(tmp_path: Path, a: str, b: str, wins: str) -> None:
    assert judge([answer_pair(a, b)], Reference(), tmp_path).judgements[0].winner == wins


def test_scores_within_the_margin_are_a_tie(tmp_path: Path) -> None:
    near = [
        answer_pair(
            "the thirty six old pigs", "the thirty six old cows", known="the thirty six old pigs here"
        )
    ]
    assert judge(near, Reference(margin=0.05), tmp_path).judgements[0].winner == "a"
    assert judge(near, Reference(margin=0.9), tmp_path).judgements[0].winner == "tie"


def test_a_question_without_a_known_answer_is_refused(tmp_path: Path) -> None:
    pairs = [answer_pair("thirty six", "no"), answer_pair("x", "x", known=None)]
    with pytest.raises(LlinkError, match=r"known answer.*How many pigs"):
        judge(pairs, Reference(), tmp_path)
    assert not (tmp_path / "judgements.jsonl").read_text()


def test_a_side_wins_only_in_both_orders() -> None:
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    won = {(x, y): winner((x, y)) for x in verdicts for y in verdicts}
    assert won.pop(("1", "2")) == "a" and won.pop(("2", "1")) == "b"
    assert set(won.values()) == {"tie"} and len(won) == 14


def judgements(wins: int, losses: int, ties: int) -> list[Judgement]:
    outcomes = [("a", ("1", "2"))] * wins + [("b", ("2", "1"))] * losses + [("tie", ("1", "1"))] * ties
    return [Judgement(i, answer_pair("one two", "ཀ ཁ ག"), w, v) for i, (w, v) in enumerate(outcomes)]  # type: ignore[arg-type]


def test_the_summary_counts_and_measures() -> None:
    summary = summarise(judgements(6, 2, 4))
    assert (summary.contests, summary.wins, summary.losses, summary.ties, summary.flipped) == (12, 6, 2, 4, 4)
    assert summary.rate is not None and summary.rate.rate == 0.75
    assert summary.rate_ties_half is not None and summary.rate_ties_half.rate == pytest.approx(8 / 12)
    assert summary.length_a is not None and (summary.length_a.letters, summary.length_a.words) == (6, 2)
    assert summary.length_b is not None and (summary.length_b.letters, summary.length_b.words) == (3, 3)
    assert json.loads(json.dumps(dataclasses.asdict(summary)))["rate"]["rate"] == 0.75


def test_the_interval_is_that_of_the_binomial_where_there_are_no_ties() -> None:
    rate, half = bootstrap(60, 40, 0)
    assert rate is not None and rate == half
    # Quantiles of Binomial(100, 0.6) / 100, known to be 0.50 and 0.69 or 0.70.
    assert rate.low == pytest.approx(0.50, abs=0.011) and rate.high == pytest.approx(0.695, abs=0.011)


def test_the_interval_agrees_with_drawing_contests_one_by_one() -> None:
    outcomes = np.array([1.0] * 30 + [0.0] * 20 + [0.5] * 50)
    drawn = np.random.default_rng(1).choice(outcomes, size=(20_000, 100))
    decided = drawn != 0.5
    set_aside = (drawn * decided).sum(1) / decided.sum(1)
    rate, half = bootstrap(30, 20, 50)
    assert rate is not None and half is not None
    assert (rate.low, rate.high) == pytest.approx(tuple(np.quantile(set_aside, [0.025, 0.975])), abs=0.012)
    assert (half.low, half.high) == pytest.approx(
        tuple(np.quantile(drawn.mean(1), [0.025, 0.975])), abs=0.012
    )


def test_intervals_narrow_with_more_contests_and_repeat_by_seed() -> None:
    few, many = bootstrap(6, 4, 2)[0], bootstrap(600, 400, 200)[0]
    assert few is not None and many is not None
    assert few.high - few.low > 5 * (many.high - many.low) and many.low > 0.5 > few.low
    assert bootstrap(6, 4, 2, seed=3) == bootstrap(6, 4, 2, seed=3)


def test_there_is_no_rate_of_nothing(tmp_path: Path) -> None:
    assert bootstrap(0, 0, 0) == (None, None)
    rate, half = bootstrap(0, 0, 3)
    assert rate is None and half is not None and (half.low, half.high) == (0.5, 0.5)
    empty = judge([], Reference(), tmp_path).summary
    assert empty.contests == 0 and empty.rate is None and empty.length_a is None


def test_contests_are_judged_by_both_sides_alike(tmp_path: Path) -> None:
    def swapped(c: AnswerPair) -> AnswerPair:
        return dataclasses.replace(
            c, answer_a=c.answer_b, answer_b=c.answer_a, side_a=c.side_b, side_b=c.side_a
        )

    some = [answer_pair(a, b) for a, b in (("thirty six", "no"), ("six", "thirty pigs"), ("", "thirty"))]
    one = judge(some, Reference(), tmp_path).summary
    other = judge([swapped(c) for c in some], Reference(), tmp_path).summary
    assert (one.wins, one.losses, one.ties) == (other.losses, other.wins, other.ties)
