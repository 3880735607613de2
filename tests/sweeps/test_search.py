"""A sweep's course: what is suggested, pruned, resumed, and found best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_world import EVALUATIONS, Runner, config, quality

from llink_ray.errors import LlinkError
from llink_ray.sweeps.objective import parse_objectives
from llink_ray.sweeps.search import Search
from llink_ray.sweeps.trials import FILE, JOINT, Trial


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_who_ends_first_changes_nothing(tmp_path: Path, algorithm: str) -> None:
    ran = [Runner(tmp_path / str(c), config(algorithm=algorithm), c).go().outcome() for c in range(3)]
    assert ran[0] == ran[1] == ran[2]
    assert {state for _, state, _, _ in ran[0]} == {"finished", "pruned"}
    other = Runner(tmp_path / "other", config(algorithm=algorithm, seed=1)).go().outcome()
    assert [config for *_, config in other] != [config for *_, config in ran[0]]


@pytest.mark.parametrize("events", [1, 20, 45, 80])
def test_a_killed_sweep_goes_on_to_the_same_end(tmp_path: Path, events: int) -> None:
    whole = Runner(tmp_path / "whole", config(), 5).go()
    Runner(tmp_path / "broken", config(), 6).go(events)
    broken = Search(config(), tmp_path / "broken" / FILE)
    ended = {trial.name for trial in broken.all_trials() if trial.state != "running"}
    resumed = Runner(tmp_path / "broken", config(), 7).go()
    assert resumed.outcome() == whole.outcome()
    assert not ended & resumed.runs.keys(), "a trial that had ended was run again"
    assert set(resumed.runs.values()) == {1}


def test_a_line_torn_by_the_kill_is_forgotten(tmp_path: Path) -> None:
    Runner(tmp_path, config(), 1).go(40)
    journal = tmp_path / FILE
    journal.write_bytes(journal.read_bytes()[:-9])
    assert Runner(tmp_path, config(), 2).go().outcome() == Runner(tmp_path / "w", config()).go().outcome()


def test_more_trials_can_be_asked_of_a_finished_sweep(tmp_path: Path) -> None:
    Runner(tmp_path, config(trials=6)).go()
    more = Runner(tmp_path, config(trials=10)).go()
    assert set(more.runs) == {f"bo-{n:04d}" for n in range(6, 10)}
    assert more.outcome() == Runner(tmp_path / "at once", config(trials=10)).go().outcome()


def test_pruning_saves_half_the_steps_and_keeps_the_best(tmp_path: Path) -> None:
    pruned, full = (
        Runner(tmp_path / str(prune), config(trials=32, algorithm="random", prune=prune)).go()
        for prune in (True, False)
    )
    steps = [sum(steps for _, _, steps, _ in run.outcome()) for run in (pruned, full)]
    assert steps[1] == 32 * EVALUATIONS * 10
    assert steps[0] <= 0.5 * steps[1]
    assert pruned.search.best("bo")[0].config == full.search.best("bo")[0].config


def test_pruning_tells_equal_trials_apart(tmp_path: Path) -> None:
    def easy(config: dict[str, Any], language: str, evaluation: int) -> dict[str, float]:
        return {
            "retrieval.r1": 1.0,
            "retrieval.margin": quality(config, language, evaluation)["retrieval.r1"],
        }

    def only_equal(config: dict[str, Any], language: str, evaluation: int) -> dict[str, float]:
        return {"retrieval.r1": 1.0}

    sweep = config(trials=32, algorithm="random")
    steps, pruned = {}, {}
    for formula in (easy, only_equal):
        outcome = Runner(tmp_path / formula.__name__, sweep, formula=formula).go().outcome()
        steps[formula] = sum(steps for _, _, steps, _ in outcome)
        pruned[formula] = sum(state == "pruned" for _, state, _, _ in outcome)
    assert steps[easy] <= 0.5 * 32 * EVALUATIONS * 10 and pruned[easy] > 16
    assert steps[only_equal] == 32 * EVALUATIONS * 10, "nothing says which to give up"


def test_trials_are_given_up_at_rungs_alone(tmp_path: Path) -> None:
    outcome = Runner(tmp_path, config()).go().outcome()
    assert {steps // 10 for _, state, steps, _ in outcome if state == "pruned"} <= {1, 3}


def test_tpe_learns_where_random_does_not(tmp_path: Path) -> None:
    def late(algorithm: str) -> float:
        sweep = config(trials=40, algorithm=algorithm, prune=False)
        trials = Runner(tmp_path / algorithm, sweep).go().search.trials("bo")[20:]
        return sum(quality(t.config)["retrieval.r1"] for t in trials) / len(trials)

    assert late("tpe") > late("random") + 0.1


def test_languages_take_turns_and_are_searched_apart(tmp_path: Path) -> None:
    run = Runner(tmp_path, config(languages=("bo", "km"), trials=20, prune=False)).go()
    started = sorted(run.search.all_trials(), key=lambda trial: str(trial.frozen.datetime_start))
    assert [t.name for t in started[:4]] == ["bo-0000", "km-0000", "bo-0001", "km-0001"]
    bo, km = (run.search.trials(code) for code in ("bo", "km"))
    assert bo[0].config == km[0].config, "the first settings are the same, so that languages can be compared"
    assert bo[-1].config != km[-1].config
    for code in ("bo", "km"):
        (best,) = run.search.best(code)
        assert quality(best.config, code) == max(
            (quality(t.config, code) for t in run.search.trials(code)), key=lambda f: f["retrieval.r1"]
        )


def test_a_joint_setting_is_best_by_the_mean_of_its_ranks(tmp_path: Path) -> None:
    table = {1: (0.9, 0.1), 2: (0.8, 0.8), 3: (0.1, 0.9)}  # by depth: Tibetan, Khmer

    def formula(config: dict[str, Any], language: str, evaluation: int) -> dict[str, float]:
        return {"retrieval.r1": table[config["projector.depth"]][language == "km"] * evaluation / EVALUATIONS}

    run = Runner(tmp_path, config(languages=("bo", "km"), joint=True, prune=False), formula=formula).go()
    assert run.search.config.studies == (JOINT,)
    assert run.search.best(JOINT)[0].config["projector.depth"] == 2
    assert all(set(trial.reports) == {"bo", "km"} for trial in run.search.trials(JOINT))


def test_a_joint_sweep_prunes_and_resumes_as_well(tmp_path: Path) -> None:
    sweep = config(languages=("bo", "km"), joint=True, trials=20)
    whole = Runner(tmp_path / "whole", sweep, 1).go()
    Runner(tmp_path / "broken", sweep, 2).go(60)
    assert Runner(tmp_path / "broken", sweep, 3).go().outcome() == whole.outcome()
    assert any(state == "pruned" for _, state, _, _ in whole.outcome())


def test_several_objectives_leave_those_that_none_surpasses(tmp_path: Path) -> None:
    sweep = config(objectives=parse_objectives("retrieval.r1,slots"), prune=False)
    run = Runner(tmp_path, sweep).go()
    best = run.search.best("bo")
    found = [quality(trial.config) for trial in best]
    everyone = [quality(trial.config) for trial in run.search.trials("bo")]
    assert len(best) > 1
    for figures in found:
        assert not any(
            other["retrieval.r1"] > figures["retrieval.r1"] and other["slots"] <= figures["slots"]
            for other in everyone
        )
    assert [f["retrieval.r1"] for f in found] == sorted((f["retrieval.r1"] for f in found), reverse=True)


def test_failures_are_kept_with_their_cause_and_the_sweep_goes_on(tmp_path: Path) -> None:
    def formula(config: dict[str, Any], language: str, evaluation: int) -> dict[str, float]:
        if config["projector.depth"] == 3 and evaluation == 2:
            raise ArithmeticError("the loss is nan")
        return quality(config, language, evaluation)

    run = Runner(tmp_path, config(algorithm="random"), formula=formula).go()
    failed = [trial for trial in run.search.trials("bo") if trial.state == "failed"]
    assert failed and all(t.cause == "the loss is nan" and len(t.reports["bo"]) == 1 for t in failed)
    assert len(run.outcome()) == 16 and run.search.best("bo")[0].state == "finished"


def test_a_setting_that_cannot_be_fails_without_being_run(tmp_path: Path) -> None:
    def check(trial: Trial) -> None:
        if trial.number == 0:
            raise LlinkError("heads do not divide")

    search = Search(config(), tmp_path / FILE, check)
    trial = search.next_trial()
    assert isinstance(trial, Trial) and trial.number == 1
    assert [(t.state, t.cause) for t in search.trials("bo")[:1]] == [("failed", "heads do not divide")]


def test_a_trial_without_the_figure_has_failed(tmp_path: Path) -> None:
    run = Runner(tmp_path, config(trials=1), formula=lambda *_: {"loss": 1.0}).go()
    (trial,) = run.search.trials("bo")
    assert trial.state == "failed" and "retrieval.r1" in (trial.cause or "")
    assert run.search.best("bo") == []
