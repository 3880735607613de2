"""Which settings moved the objective."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llink_ray.sweeps.report import importance as sweep_importance
from llink_ray.sweeps.report.data import FAILED, FINISHED, PRUNED, Objective, Sweep, Trial
from llink_ray.sweeps.report.importance import ENOUGH, basis, importance


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of few draws: this is about what is told, not how finely."""
    monkeypatch.setattr(sweep_importance, "RESAMPLED", 3)


def sweep(count: int, value: Any, mode: str = "max", seed: int = 0, **more: Any) -> Sweep:
    """Trials of four settings whose figure is a function of them."""
    draw = random.Random(seed)
    trials = []
    for i in range(count):
        settings = {
            "rate": draw.uniform(0, 1),
            "width": draw.randint(1, 9),
            "kind": draw.choice(["p", "q"]),
            "flag": draw.choice([True, False]),
            **{name: given(i) if callable(given) else given for name, given in more.items()},
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        reports = [(10, {"r1": float(value(settings))})]
        trials.append(Trial("bo", str(i), settings, FINISHED, "", 10, 1.0, reports))
    return Sweep({}, (Objective("r1", mode),), trials)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", lambda s: 0.9 - (s["rate"] - 0.3) ** 2),
        ("width", lambda s: s["width"] / 10),
        ("kind", lambda s: 0.5 if s["kind"] == "p" else 0.9),
        ("flag", lambda s: 0.1 + 0.5 * s["flag"]),
    ],
)
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_one_setting_that_counts_comes_first(name: str, value: Any, mode: str) -> None:
    found = importance(sweep(30, value, mode), "bo")
    assert next(iter(found)) == name
    shares = [one.share for one in found.values()]
    assert found[name].share > 0.6 and shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.values())


def test_it_is_the_same_twice_and_leaves_optunas_log_as_it_was() -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    made = sweep(ENOUGH, lambda s: s["rate"])
    assert importance(made, "bo") == importance(made, "bo")
    assert optuna.logging.get_verbosity() == before


def test_too_few_trials_say_nothing() -> None:
    assert importance(sweep(ENOUGH - 1, lambda s: s["rate"]), "bo") == {}
    assert importance(sweep(ENOUGH, lambda s: s["rate"]), "bo") != {}


def test_equal_outcomes_say_nothing() -> None:
    assert importance(sweep(20, lambda s: 0.5), "bo") == {}


def test_outcomes_that_are_no_numbers_do_not_count() -> None:
    made = sweep(ENOUGH + 3, lambda s: s["rate"])
    for trial in made.trials[:4]:
        trial.reports[0][1]["r1"] = float("nan")
    assert importance(made, "bo") == {}


def test_what_never_changed_or_is_lacking_somewhere_is_left_out() -> None:
    made = sweep(20, lambda s: s["rate"], fixed=3, rare=lambda i: i if i % 2 else None)
    assert set(importance(made, "bo")) == {"rate", "width", "kind", "flag"}


def test_where_few_finish_trials_are_compared_at_the_latest_step_that_enough_reached() -> None:
    made = sweep(30, lambda s: 0.0)
    for i, trial in enumerate(made.trials):
        trial.state = FINISHED if i < 6 else FAILED if i == 29 else PRUNED
        ends = 40 if i < 6 else 20 if i < 20 else 10
        # early on the width counts, later the rate does
        early, late = trial.settings["width"] / 10, trial.settings["rate"]
        trial.reports = [
            (step, {"r1": early if step < 20 else late}) for step in (10, 20, 40) if step <= ends
        ]
    seen = basis(made, "bo")
    assert (seen.step, len(seen.trials)) == (20, 20)
    assert list(seen.values) == [trial.settings["rate"] for trial in made.trials[:20]]
    assert next(iter(importance(made, "bo"))) == "rate"


def test_enough_that_finished_are_compared_at_their_ends() -> None:
    made = sweep(ENOUGH, lambda s: s["rate"])
    assert basis(made, "bo").step is None
