"""A sweep's course: what is suggested, pruned, resumed, and found best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sweep_world import LOOKS, Runner, quality, search

from llink_ray.errors import LlinkError
from llink_ray.sweeps.journal import JOINT, NAME, Journal, Trial
from llink_ray.sweeps.objective import objectives
from llink_ray.sweeps.plan import Plan


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_who_ends_first_changes_nothing(tmp_path: Path, algorithm: str) -> None:
    ran = [Runner(tmp_path / str(c), search(algorithm=algorithm), c).go().outcome() for c in range(3)]
    assert ran[0] == ran[1] == ran[2]
    assert {state for _, state, _, _ in ran[0]} == {"finished", "pruned"}
    other = Runner(tmp_path / "other", search(algorithm=algorithm, seed=1)).go().outcome()
    assert [config for *_, config in other] != [config for *_, config in ran[0]]


@pytest.mark.parametrize("events", [1, 20, 45, 80])
def test_a_killed_sweep_goes_on_to_the_same_end(tmp_path: Path, events: int) -> None:
    whole = Runner(tmp_path / "whole", search(), 5).go()
    Runner(tmp_path / "broken", search(), 6).go(events)
    ended = {t.name for t in Journal(tmp_path / "broken" / NAME).trials.values() if t.state != "running"}
    resumed = Runner(tmp_path / "broken", search(), 7).go()
    assert resumed.outcome() == whole.outcome()
    assert not ended & resumed.runs.keys(), "a trial that had ended was run again"
    assert set(resumed.runs.values()) == {1}


def test_a_line_torn_by_the_kill_is_forgotten(tmp_path: Path) -> None:
    Runner(tmp_path, search(), 1).go(40)
    journal = tmp_path / NAME
    journal.write_bytes(journal.read_bytes()[:-9])
    assert Runner(tmp_path, search(), 2).go().outcome() == Runner(tmp_path / "w", search()).go().outcome()


def test_more_trials_can_be_asked_of_a_finished_sweep(tmp_path: Path) -> None:
    Runner(tmp_path, search(trials=6)).go()
    more = Runner(tmp_path, search(trials=10)).go()
    assert set(more.runs) == {f"bo-{n:04d}" for n in range(6, 10)}
    assert more.outcome() == Runner(tmp_path / "at once", search(trials=10)).go().outcome()


def test_pruning_saves_half_the_steps_and_keeps_the_best(tmp_path: Path) -> None:
    pruned, full = (
        Runner(tmp_path / str(prune), search(trials=32, algorithm="random", prune=prune)).go()
        for prune in (True, False)
    )
    steps = [sum(steps for _, _, steps, _ in run.outcome()) for run in (pruned, full)]
    assert steps[1] == 32 * LOOKS * 10
    assert steps[0] <= 0.5 * steps[1]
    assert pruned.plan.best("bo")[0].config == full.plan.best("bo")[0].config


def test_pruning_tells_equal_trials_apart(tmp_path: Path) -> None:
    def easy(config: dict[str, Any], language: str, look: int) -> dict[str, float]:
        return {"retrieval.r1": 1.0, "retrieval.margin": quality(config, language, look)["retrieval.r1"]}

    def only_equal(config: dict[str, Any], language: str, look: int) -> dict[str, float]:
        return {"retrieval.r1": 1.0}

    asked = search(trials=32, algorithm="random")
    steps, pruned = {}, {}
    for formula in (easy, only_equal):
        outcome = Runner(tmp_path / formula.__name__, asked, formula=formula).go().outcome()
        steps[formula] = sum(steps for _, _, steps, _ in outcome)
        pruned[formula] = sum(state == "pruned" for _, state, _, _ in outcome)
    assert steps[easy] <= 0.5 * 32 * LOOKS * 10 and pruned[easy] > 16
    assert steps[only_equal] == 32 * LOOKS * 10, "nothing says which to give up"


def test_trials_are_given_up_at_rungs_alone(tmp_path: Path) -> None:
    outcome = Runner(tmp_path, search()).go().outcome()
    assert {steps // 10 for _, state, steps, _ in outcome if state == "pruned"} <= {1, 3}


def test_tpe_learns_where_random_does_not(tmp_path: Path) -> None:
    def late(algorithm: str) -> float:
        asked = search(trials=40, algorithm=algorithm, prune=False)
        trials = Runner(tmp_path / algorithm, asked).go().plan.trials("bo")[20:]
        return sum(quality(t.config)["retrieval.r1"] for t in trials) / len(trials)

    assert late("tpe") > late("random") + 0.1


def test_languages_take_turns_and_are_searched_apart(tmp_path: Path) -> None:
    run = Runner(tmp_path, search(languages=("bo", "km"), trials=20, prune=False)).go()
    order = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    begun = [(r["study"], r["number"]) for r in order if r["event"] == "suggested"]
    assert begun[:4] == [("bo", 0), ("km", 0), ("bo", 1), ("km", 1)]
    bo, km = (run.plan.trials(code) for code in ("bo", "km"))
    assert bo[0].config == km[0].config, "the first settings are the same, so that languages can be compared"
    assert bo[-1].config != km[-1].config
    for code in ("bo", "km"):
        (best,) = run.plan.best(code)
        assert quality(best.config, code) == max(
            (quality(t.config, code) for t in run.plan.trials(code)), key=lambda f: f["retrieval.r1"]
        )


def test_a_joint_setting_is_best_by_the_mean_of_its_ranks(tmp_path: Path) -> None:
    table = {1: (0.9, 0.1), 2: (0.8, 0.8), 3: (0.1, 0.9)}  # by depth: Tibetan, Khmer

    def formula(config: dict[str, Any], language: str, look: int) -> dict[str, float]:
        return {"retrieval.r1": table[config["projector.depth"]][language == "km"] * look / LOOKS}

    run = Runner(tmp_path, search(languages=("bo", "km"), joint=True, prune=False), formula=formula).go()
    assert run.plan.search.studies == (JOINT,)
    assert run.plan.best(JOINT)[0].config["projector.depth"] == 2
    assert all(set(trial.reports) == {"bo", "km"} for trial in run.plan.trials(JOINT))


def test_a_joint_sweep_prunes_and_resumes_as_well(tmp_path: Path) -> None:
    asked = search(languages=("bo", "km"), joint=True, trials=20)
    whole = Runner(tmp_path / "whole", asked, 1).go()
    Runner(tmp_path / "broken", asked, 2).go(60)
    assert Runner(tmp_path / "broken", asked, 3).go().outcome() == whole.outcome()
    assert any(state == "pruned" for _, state, _, _ in whole.outcome())


def test_several_objectives_leave_those_that_none_surpasses(tmp_path: Path) -> None:
    asked = search(objectives=objectives("retrieval.r1,slots"), prune=False)
    run = Runner(tmp_path, asked).go()
    best = run.plan.best("bo")
    found = [quality(trial.config) for trial in best]
    everyone = [quality(trial.config) for trial in run.plan.trials("bo")]
    assert len(best) > 1
    for figures in found:
        assert not any(
            other["retrieval.r1"] > figures["retrieval.r1"] and other["slots"] <= figures["slots"]
            for other in everyone
        )
    assert [f["retrieval.r1"] for f in found] == sorted((f["retrieval.r1"] for f in found), reverse=True)


def test_failures_are_kept_with_their_cause_and_the_sweep_goes_on(tmp_path: Path) -> None:
    def formula(config: dict[str, Any], language: str, look: int) -> dict[str, float]:
        if config["projector.depth"] == 3 and look == 2:
            raise ArithmeticError("the loss is nan")
        return quality(config, language, look)

    run = Runner(tmp_path, search(algorithm="random"), formula=formula).go()
    failed = [trial for trial in run.plan.trials("bo") if trial.state == "failed"]
    assert failed and all(t.cause == "the loss is nan" and len(t.reports["bo"]) == 1 for t in failed)
    assert len(run.outcome()) == 16 and run.plan.best("bo")[0].state == "finished"


def test_a_setting_that_cannot_be_fails_without_being_run(tmp_path: Path) -> None:
    def check(trial: Trial) -> None:
        if trial.number == 0:
            raise LlinkError("heads do not divide")

    plan = Plan(search(), Journal(tmp_path / NAME), check)
    trial = plan.next()
    assert isinstance(trial, Trial) and trial.number == 1
    assert [(t.state, t.cause) for t in plan.trials("bo")[:1]] == [("failed", "heads do not divide")]


def test_a_trial_without_the_figure_has_failed(tmp_path: Path) -> None:
    run = Runner(tmp_path, search(trials=1), formula=lambda *_: {"loss": 1.0}).go()
    (trial,) = run.plan.trials("bo")
    assert trial.state == "failed" and "retrieval.r1" in (trial.cause or "")
    assert run.plan.best("bo") == []
