"""Which trial of a sweep is best: in one language, in all, and where several figures count."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from llink_ray.sweeps.report.data import FINISHED, Objective, Sweep, Trial
from llink_ray.sweeps.report.selection import (
    Shared,
    agreement,
    behind,
    best,
    disagreed,
    front,
    in_order,
    pareto,
    progress,
    ranks,
    shared,
    steps,
    worth_showing,
)

R1 = "retrieval.r1"


def trial(
    name: str,
    score: float | None,
    settings: dict[str, Any] | None = None,
    language: str = "bo",
    state: str = FINISHED,
    step: int = 100,
    **more: float,
) -> Trial:
    found = {} if score is None else {R1: score}
    return Trial(language, name, settings or {"x": name}, state, "", step, 10.0, [(step, found | more)])


def sweep(*trials: Trial, mode: str = "max", also: tuple[Objective, ...] = ()) -> Sweep:
    return Sweep({"languages": ["bo", "km"]}, (Objective(R1, mode), *also), trials)


def test_the_best_is_finished_and_has_a_number() -> None:
    found = sweep(
        trial("pruned", 0.9, state="pruned"),
        trial("failed", 0.95, state="failed"),
        trial("nan", math.nan),
        trial("none", None),
        trial("first", 0.5),
        trial("tied", 0.7),
        trial("tied later", 0.7),
        trial("elsewhere", 0.99, language="km"),
    )
    chosen = best(found, "bo")
    assert chosen is not None and chosen.name == "tied"
    assert [t.name for t in in_order(found, "bo")] == [
        "tied", "tied later", "first", "pruned", "failed", "nan", "none"
    ]  # fmt: skip
    assert best(sweep(trial("pruned", 0.9, state="pruned")), "bo") is None


def test_less_may_be_better() -> None:
    found = sweep(trial("a", 3.0), trial("b", 1.0), trial("c", 2.0), mode="min")
    assert [t.name for t in in_order(found, "bo")] == ["b", "c", "a"]
    assert progress(found, "bo").values == [3.0, 1.0, 1.0]


def test_what_was_reported_last_counts_not_the_best_on_the_way() -> None:
    falling = trial("a", 0.9)
    falling.reports.append((200, {R1: 0.4}))
    timed = trial("b", 0.5)
    timed.reports.append((200, {"seconds": 3.0}))  # a report without the figure says nothing of it
    lost = trial("c", 0.8)
    lost.reports.append((200, {R1: math.nan}))
    assert [t.score(R1) for t in (falling, timed, lost)] == [0.4, 0.5, None]


GRID = [0.0, 0.25, 0.5, 0.75, 1.0]
POINTS = st.lists(st.tuples(st.sampled_from(GRID), st.sampled_from(GRID), st.sampled_from(GRID)), max_size=12)


@given(POINTS)
def test_the_front_is_what_brute_force_finds(points: list[tuple[float, ...]]) -> None:
    kept = front(points)
    for i, one in enumerate(points):
        surpassed = False
        for other in points:
            better = [b > a for a, b in zip(one, other, strict=True)]
            worse = [b < a for a, b in zip(one, other, strict=True)]
            surpassed |= any(better) and not any(worse)
        assert (i in kept) == (not surpassed)


def test_the_pareto_set_heeds_the_direction_of_each_figure_and_leaves_out_who_lacks_one() -> None:
    cost = Objective("prompt_tokens", "min")
    trials = [
        trial(f"{quality} for {tokens}", quality, prompt_tokens=tokens)
        for quality, tokens in ((0.9, 40.0), (0.8, 40.0), (0.8, 20.0), (0.7, 30.0), (0.5, 10.0))
    ]
    lacking = [trial("no cost", 1.0), trial("nan", 1.0, prompt_tokens=math.nan)]
    pruned = trial("pruned", 1.0, state="pruned", prompt_tokens=1.0)
    found = sweep(*trials, *lacking, pruned, also=(cost,))
    assert [t.name for t in pareto(found, "bo")] == ["0.9 for 40.0", "0.8 for 20.0", "0.5 for 10.0"]


@given(st.lists(st.sampled_from(GRID), min_size=1, max_size=15))
def test_ranks_are_one_more_than_who_is_better_and_ties_share(values: list[float]) -> None:
    for value, rank in zip(values, ranks(values), strict=True):
        better, same = sum(v > value for v in values), sum(v == value for v in values)
        assert rank == better + (1 + same) / 2


def both(scores: dict[str, tuple[float | None, float | None]]) -> list[Trial]:
    """Each setting in Tibetan and in Khmer."""
    return [
        trial(f"{code}-{x}", score, {"x": x}, code)
        for x, pair in scores.items()
        for code, score in zip(("bo", "km"), pair, strict=True)
    ]


def test_one_setting_for_all_has_the_best_mean_rank_of_those_finished_everywhere() -> None:
    scores = {"a": (0.9, 0.1), "b": (0.8, 0.7), "c": (0.1, 0.8), "d": (0.0, 0.2), "e": (0.5, 0.5)}
    trials = both({**scores, "alone": (1.0, None)})
    found = shared(sweep(*trials))
    assert {one.settings["x"]: dict(one.ranks) for one in found}["b"] == {"bo": 2.0, "km": 2.0}
    means = [(one.settings["x"], one.mean_rank) for one in found]
    assert means == [("b", 2.0), ("c", 2.5), ("a", 3.0), ("e", 3.0), ("d", 4.5)]
    # behind the language's own best, which was tried there alone
    assert behind(sweep(*trials), found[0], "bo") == pytest.approx(0.2)
    assert behind(sweep(*trials), found[0], "km") == pytest.approx(0.1)


def test_of_equal_mean_ranks_the_earliest_is_chosen() -> None:
    found = shared(sweep(*both({"a": (0.9, 0.1), "b": (0.8, 0.2)})))
    assert [(one.settings["x"], one.mean_rank) for one in found] == [("a", 1.5), ("b", 1.5)]


def test_nothing_is_shared_with_one_language_or_by_settings_that_differ() -> None:
    assert shared(sweep(trial("a", 0.5), trial("b", 0.6))) == []
    assert shared(sweep(trial("a", 0.5, {"x": 1}), trial("b", 0.6, {"x": 2}, "km"))) == []
    assert shared(sweep(*both({"a": (0.5, None), "b": (None, 0.5)}))) == []


@given(st.lists(st.tuples(st.sampled_from(GRID), st.sampled_from(GRID)), min_size=1, max_size=12))
def test_the_chosen_mean_rank_is_the_least_there_is(pairs: list[tuple[float, float]]) -> None:
    found = shared(sweep(*both({str(i): pair for i, pair in enumerate(pairs)})))
    columns = list(zip(*pairs, strict=True))

    def mean_rank(i: int) -> float:
        return sum(1 + sum(v > c[i] for v in c) + (sum(v == c[i] for v in c) - 1) / 2 for c in columns) / len(
            columns
        )

    assert found[0].mean_rank == min(map(mean_rank, range(len(pairs))))


@given(st.lists(st.tuples(st.sampled_from(GRID), st.sampled_from(GRID)), min_size=5, max_size=12))
def test_agreement_is_spearmans(pairs: list[tuple[float, float]]) -> None:
    found = shared(sweep(*both({str(i): pair for i, pair in enumerate(pairs)})))
    first, second = zip(*pairs, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert agreement(found, "bo", "km") is None
    else:
        assert agreement(found, "bo", "km") == pytest.approx(spearmanr(first, second).statistic)


def test_agreement_wants_five_settings() -> None:
    few: list[Shared] = shared(sweep(*both({str(i): (i / 9, i / 9) for i in range(4)})))
    assert len(few) == 4 and agreement(few, "bo", "km") is None


def test_languages_disagree_where_their_best_have_no_value_in_common() -> None:
    trials = []
    for code, wanted in (("bo", 2), ("km", 9)):
        for x, kind in product(range(12), ("p", "q")):
            score = 1 - abs(x - wanted) / 12 + (0.001 if kind == "p" else 0.0)
            trials.append(trial(f"{code}-{x}{kind}", score, {"x": x, "kind": kind}, code))
    found = sweep(*trials)
    assert disagreed(found, "x") and not disagreed(found, "kind")
    assert not disagreed(sweep(*(t for t in trials if t.settings["x"] > 8)), "x")  # too few to tell


def test_a_word_is_disagreed_about_too() -> None:
    trials = [
        trial(f"{code}-{i}-{kind}", 0.9 + i / 100 if kind == wanted else 0.1, {"kind": kind}, code)
        for code, wanted in (("bo", "mean"), ("km", "resampler"))
        for i in range(6)
        for kind in ("mean", "resampler")
    ]
    assert disagreed(sweep(*trials), "kind")


def test_steps_saved_are_those_that_pruned_trials_did_not_take() -> None:
    trials = [
        trial("a", 0.5, step=200),
        trial("b", 0.4, step=50, state="pruned"),
        trial("c", None, step=20, state="failed"),  # would have failed anyway
        trial("d", 0.3, step=80, state="pruned"),
    ]
    found = steps(sweep(*trials), "bo")
    assert found is not None and (found.spent, found.unpruned) == (350, 200 + 200 + 20 + 200)
    assert steps(sweep(*trials[1:]), "bo") is None
    assert steps(sweep(trial("a", 0.5, {"stage_a.steps": 100})), "bo") is None


def test_progress_counts_every_trial_and_keeps_the_best() -> None:
    trials = [
        trial("a", None, state="failed"),
        trial("b", 0.5),
        trial("c", 0.9, state="pruned"),
        trial("d", math.nan),
        trial("e", 0.7),
        trial("f", 0.6),
    ]
    found = progress(sweep(*trials), "bo")
    assert found.values == [None, 0.5, 0.5, 0.5, 0.7, 0.7]
    assert found.seconds == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.sampled_from([1.0, -1.0]))
def test_what_is_shown_holds_the_best_and_three_quarters(values: list[float], sign: float) -> None:
    low, high = worth_showing(values, sign)
    inside = [value for value in values if low <= value <= high]
    assert max(sign * v for v in values) == max(sign * v for v in inside)
    assert len(inside) >= 0.75 * len(values)
    assert min(values) <= low <= high <= max(values)


def test_failures_far_off_are_not_shown() -> None:
    assert worth_showing([0.0, 0.85, 0.88, 0.9, 0.9, 0.91], 1.0) == (pytest.approx(0.85, abs=0.04), 0.91)
    assert worth_showing([90.0, 5.0, 4.0, 3.0, 3.0], -1.0) == (3.0, 6.0)
