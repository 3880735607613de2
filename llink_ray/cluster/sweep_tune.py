"""A plan carried out by Ray Tune: it asks for trials, is told their reports, stops those given up."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from llink_ray.cluster.sweep_trial import TrialContext, run_trial
from llink_ray.sweeps.journal import Report, Trial
from llink_ray.sweeps.plan import Plan

Changed = Callable[[], None]
"""Called after each report and each end."""


def carry_out(
    plan: Plan,
    told: TrialContext,
    resources: dict[str, float],
    at_a_time: int,
    changed: Changed,
    callbacks: list[Any],
) -> None:
    """Run what is left of a plan; trials that fail do not stop it."""
    from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner

    folder = Path(told.folder)
    left = sum(
        plan.search.trials - sum(trial.state != "running" for trial in plan.trials(study))
        for study in plan.search.studies
    )
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # a JSON and a CSV of each trial, beside ours
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C ends this job as it ends the others
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its tables: we have our own
    os.environ["TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S"] = "600"  # there is room: see room()
    before = len(list((folder / "tune").glob("*"))) if (folder / "tune").is_dir() else 0
    tuner = Tuner(
        tune.with_resources(tune.with_parameters(run_trial, told=told), resources),
        tune_config=TuneConfig(
            search_alg=_Asks(plan, at_a_time),
            scheduler=_Decides(plan, changed),
            num_samples=left,
            reuse_actors=not told.stage_b,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=RunConfig(
            name=str(before + 1),
            storage_path=str(folder.resolve() / "tune"),
            failure_config=FailureConfig(max_failures=0, fail_fast=False),
            callbacks=callbacks,
            verbose=0,
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner.fit()


def _name(trial: Any) -> str:
    return f"{trial.config['study']}-{trial.config['number']:04d}"


class _Asks(Searcher):  # type: ignore[misc]
    """Ray Tune's question for the next trial, passed on."""

    def __init__(self, plan: Plan, at_a_time: int) -> None:
        super().__init__()
        self._plan, self._at_a_time = plan, at_a_time

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        """Ray Tune's own idea of a metric is not used."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Settings, nothing for now, or the end."""
        if len(self._plan.running) >= self._at_a_time:
            return None
        trial = self._plan.next()
        if trial == "done":
            return Searcher.FINISHED
        if trial is None:
            return None
        return {"study": trial.study, "number": trial.number, **trial.config}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Told to the scheduler as well, which knows the trial."""

    def save(self, checkpoint_path: str) -> None:
        """The journal is kept already."""

    def restore(self, checkpoint_path: str) -> None:
        """From the journal, always."""


class _Decides(FIFOScheduler):  # type: ignore[misc]
    """What trials report goes into the plan, which says who goes on."""

    def __init__(self, plan: Plan, changed: Changed) -> None:
        super().__init__()
        self._plan, self._changed = plan, changed

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray Tune keeps copies of its own, which are never read again

    def _find(self, trial: Any) -> Trial | None:
        wanted = trial.config["study"], trial.config["number"]
        return next((t for t in self._plan.running if (t.study, t.number) == wanted), None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Keep a report; decide."""
        ours = self._find(trial)
        if ours is None:
            return str(TrialScheduler.STOP)
        if cause := result.get("cause"):
            self._end(ours, cause)
            return str(TrialScheduler.STOP)
        step, seconds = result["step"], result["seconds"]
        figures: dict[str, dict[str, float]] = {}
        times: dict[str, dict[str, float]] = {}
        for key, value in result.items():  # Ray Tune flattens: figures/bo/retrieval.r1
            name, *path = key.split("/", 2)
            if name in ("figures", "times") and len(path) == 2:
                (figures if name == "figures" else times).setdefault(path[0], {})[path[1]] = value
        told = {
            code: Report(step, seconds, metrics, times.get(code, {})) for code, metrics in figures.items()
        }
        if self._plan.reported(ours, told, last=result["last"]):
            self._changed()
            return str(TrialScheduler.CONTINUE)
        self._end(ours, pruned=True)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A natural end, or the one decided above."""
        if ours := self._find(trial):
            self._end(ours)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The process itself is lost."""
        if ours := self._find(trial):
            file = trial.error_file
            text = Path(file).read_text(encoding="utf-8") if file and Path(file).exists() else ""
            self._end(ours, _why_lost(text))

    def _end(self, trial: Trial, cause: str | None = None, *, pruned: bool = False) -> None:
        self._plan.ended(trial, cause, pruned=pruned)
        self._changed()


def _why_lost(text: str) -> str:
    if "ActorDiedError" in text or "actor died" in text or "OutOfMemory" in text:
        return "its process died, most likely of too little memory"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "its process was lost"
