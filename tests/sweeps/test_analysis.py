"""Which trial of a sweep is best, in one language and in all, and which settings mattered."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr
from sweep_files import Tried, results, tried, write

from llink_ray.sweeps.objective import Objective
from llink_ray.sweeps.report.analysis import (
    ENOUGH_FOR_IMPORTANCE,
    SharedSetting,
    rank_correlation,
    shared_settings,
)
from llink_ray.sweeps.space import SearchSpace, choice, integer, real


def test_the_best_is_finished_and_has_a_number(tmp_path: Path) -> None:
    rows = [
        tried(0.9, {"x": "pruned"}, state="pruned"),
        tried(0.95, {"x": "failed"}, state="failed"),
        tried(None, {"x": "none"}),
        tried(0.5, {"x": "first"}),
        tried(0.7, {"x": "tied"}),
        tried(0.7, {"x": "tied later"}),
        tried(0.2, {"x": "falling"}),
    ]
    rows[-1].reports = {"bo": [(50, {"retrieval.r1": 0.99}), (100, {"retrieval.r1": 0.2})]}
    (bo,) = results(write(tmp_path, rows))
    assert bo.best is not None and bo.best.config["x"] == "tied"
    expected = ["tied", "tied later", "first", "falling", "pruned", "none"]
    assert [trial.config["x"] for trial in bo.ordered] == expected
    (pruned_only,) = results(write(tmp_path / "pruned", rows[:1]))
    assert pruned_only.best is None


def test_less_may_be_better(tmp_path: Path) -> None:
    rows = [tried(None, {"x": x}, loss=loss) for x, loss in (("a", 3.0), ("b", 1.0), ("c", 2.0))]
    (bo,) = results(write(tmp_path, rows, objectives="loss"))
    assert [trial.config["x"] for trial in bo.ordered] == ["b", "c", "a"]


def test_the_pareto_set_heeds_the_direction_of_each_figure_and_leaves_out_who_lacks_one(
    tmp_path: Path,
) -> None:
    points = ((0.9, 40.0), (0.8, 40.0), (0.8, 20.0), (0.8, 20.0), (0.7, 30.0), (0.5, 10.0))
    rows = [tried(r1, {"x": i}, prompt_tokens=tokens) for i, (r1, tokens) in enumerate(points)]
    rows.append(tried(1.0, {"x": 90}))
    rows.append(tried(1.0, {"x": 91}, state="pruned", prompt_tokens=1.0))
    (bo,) = results(write(tmp_path, rows))
    front = bo.pareto(Objective("retrieval.r1"), Objective("prompt_tokens"))
    assert [trial.config["x"] for trial in front] == [0, 2, 3, 5]


def both(folder: Path, scores: dict[str, tuple[float | None, float | None]]) -> list[Any]:
    """Each setting in Tibetan and in Khmer."""
    rows = [
        tried(score, {"x": x}, code)
        for x, pair in scores.items()
        for code, score in zip(("bo", "km"), pair, strict=True)
    ]
    return results(write(folder, rows, "bo", "km"))


def test_one_setting_for_all_has_the_best_mean_rank_of_those_finished_everywhere(tmp_path: Path) -> None:
    scores = {"a": (0.9, 0.1), "b": (0.8, 0.7), "c": (0.1, 0.8), "d": (0.0, 0.2), "e": (0.5, 0.5)}
    shared = shared_settings(both(tmp_path, {**scores, "alone": (1.0, None)}))
    assert dict(shared[0].ranks) == {"bo": 2.0, "km": 2.0}
    means = [(setting.trials["bo"].config["x"], setting.mean_rank) for setting in shared]
    assert means == [("b", 2.0), ("c", 2.5), ("a", 3.0), ("e", 3.0), ("d", 4.5)]


def test_nothing_is_shared_with_one_language_or_by_settings_that_differ(tmp_path: Path) -> None:
    assert shared_settings(results(write(tmp_path, [tried(0.5, {"x": 1}), tried(0.6, {"x": 2})]))) == []
    assert shared_settings(both(tmp_path / "two", {"a": (0.5, None), "b": (None, 0.5)})) == []


def test_agreement_is_spearmans_from_five_settings_on() -> None:
    def shared(columns: tuple[list[float], list[float]]) -> list[SharedSetting]:
        return [SharedSetting({}, {"bo": bo, "km": km}) for bo, km in zip(*columns, strict=True)]

    columns = [1.0, 2.0, 3.5, 3.5, 5.0], [2.0, 1.0, 3.0, 5.0, 4.0]
    assert rank_correlation(shared(columns), "bo", "km") == pytest.approx(spearmanr(*columns).statistic)
    assert rank_correlation(shared(columns)[:4], "bo", "km") is None
    assert rank_correlation(shared((columns[0], [3.0] * 5)), "bo", "km") is None


def test_steps_saved_are_those_that_pruned_trials_did_not_take(tmp_path: Path) -> None:
    rows = [
        tried(0.5, {"x": "a"}, step=200),
        tried(0.4, {"x": "b"}, step=50, state="pruned"),
        tried(0.1, {"x": "c"}, step=20, state="failed"),  # would have failed anyway
        tried(0.3, {"x": "d"}, step=80, state="pruned"),
    ]
    (bo,) = results(write(tmp_path / "all", rows))
    assert bo.steps_saved() == (350, 200 + 200 + 20 + 200)
    (none_finished,) = results(write(tmp_path / "none", rows[1:]))
    assert none_finished.steps_saved() is None
    (length_searched,) = results(write(tmp_path / "length", [tried(0.5, {"stage_a.steps": 100})]))
    assert length_searched.steps_saved() is None


# Importance -------------------------------------------------------------------------------------------

SPACE = SearchSpace(
    "four",
    {
        "rate": real(0, 1, why=""),
        "width": integer(1, 9, why=""),
        "kind": choice("p", "q", why=""),
        "flag": choice(True, False, why=""),
    },
)


def four(count: int, value: Callable[[dict[str, Any]], float]) -> list[Tried]:
    """Trials of four settings whose figure is a function of them."""
    draw = random.Random(0)
    rows = []
    for _ in range(count):
        config = {
            "rate": draw.uniform(0, 1),
            "width": draw.randint(1, 9),
            "kind": draw.choice(["p", "q"]),
            "flag": draw.choice([True, False]),
        }
        rows.append(tried(float(value(config)), config))
    return rows


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", lambda c: 0.9 - (c["rate"] - 0.3) ** 2),
        ("width", lambda c: c["width"] / 10),
        ("kind", lambda c: 0.5 if c["kind"] == "p" else 0.9),
        ("flag", lambda c: 0.1 + 0.5 * c["flag"]),
    ],
)
def test_the_one_setting_that_counts_comes_first(name: str, value: Any, tmp_path: Path) -> None:
    (bo,) = results(write(tmp_path, four(30, value), space=SPACE))
    shares, count, _ = bo.importances()
    assert next(iter(shares)) == name and shares[name] > 0.6 and count == 30
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert bo.importances()[0] == shares


def test_too_few_trials_or_equal_outcomes_say_nothing(tmp_path: Path) -> None:
    few = four(ENOUGH_FOR_IMPORTANCE - 1, lambda c: c["rate"])
    for name, rows in (("few", few), ("equal", four(20, lambda c: 0.5))):
        (bo,) = results(write(tmp_path / name, rows, space=SPACE))
        assert bo.importances()[0] == {}


def test_trials_are_compared_at_the_latest_evaluation_that_enough_reached(tmp_path: Path) -> None:
    rows = four(30, lambda c: 0.0)
    for i, row in enumerate(rows):
        row.state = "finished" if i < 6 else "failed" if i == 29 else "pruned"
        last = 3 if i < 6 else 2 if i < 20 else 1
        # early on the width counts, later the rate does
        early, late = row.config["width"] / 10, row.config["rate"]
        values = [early, late, late][:last]
        row.reports = {"bo": [(10 * n, {"retrieval.r1": v}) for n, v in enumerate(values, start=1)]}
    (bo,) = results(write(tmp_path, rows, space=SPACE))
    shares, count, evaluation = bo.importances()
    assert (next(iter(shares)), count, evaluation) == ("rate", 20, 2)
