"""A search carried out by Ray Tune: it asks for trials, is told their reports, stops the pruned ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.logger.tensorboardx import TBXLoggerCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from llink_ray.cluster.job import say
from llink_ray.cluster.sweep_trial import TrialContext, run_trial
from llink_ray.cluster.trackers import PROJECT, is_configured
from llink_ray.settings import Settings
from llink_ray.sweeps.search import Search
from llink_ray.sweeps.trials import Trial

_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a JSON and a CSV of each trial, beside ours
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends this job as it ends the others
    "RAY_AIR_NEW_OUTPUT": "0",  # its tables: we have our own
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "600",  # capacity() has counted
}
_WAITING_BYTES = 1 << 20


def run_trials(
    search: Search, context: TrialContext, settings: Settings, at_a_time: int, changed: Callable[[], None]
) -> None:
    """Run what is left of a search; trials that fail do not stop it.

    Args:
        search: says what comes next and who goes on.
        context: what all trials are told.
        settings: of any trial, for its resources.
        at_a_time: trials.
        changed: called after each report and each end.
    """
    folder = Path(context.folder)
    ended = sum(trial.state != "running" for trial in search.all_trials())
    os.environ.update(_ENVIRONMENT)
    sessions = len(list((folder / "tune").glob("*"))) if (folder / "tune").is_dir() else 0
    tuner = Tuner(
        tune.with_resources(tune.with_parameters(run_trial, context=context), _resources(settings, context)),
        tune_config=TuneConfig(
            search_alg=_Suggestions(search, at_a_time),
            scheduler=_Decisions(search, changed),
            num_samples=search.config.trials * len(search.config.studies) - ended,
            reuse_actors=not context.config.stage_b,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=RunConfig(
            name=str(sessions + 1),
            storage_path=str(folder.resolve() / "tune"),
            failure_config=FailureConfig(max_failures=0, fail_fast=False),
            callbacks=_loggers(folder.name),
            verbose=0,
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner.fit()


def _name(trial: Any) -> str:
    return str(trial.config["trial"])


def _resources(settings: Settings, context: TrialContext) -> dict[str, float]:
    """What Ray Tune sets aside for a trial's own process; workers inside it ask for themselves.

    A process that only waits has to ask for something, but a share of a CPU would be one that its own worker
    may then lack.
    """
    if context.config.stage_b:
        return {"memory": _WAITING_BYTES}
    amounts = {"CPU": settings.cluster.cpus_per_worker, "GPU": settings.cluster.gpus_per_worker}
    return {name: amount for name, amount in amounts.items() if amount}


def _loggers(name: str) -> list[Any]:
    """TensorBoard always; W&B and MLflow where their own environment is set."""
    callbacks: list[Any] = [TBXLoggerCallback()]
    if is_configured("wandb", ("WANDB_API_KEY", "WANDB_MODE"), say):
        from ray.air.integrations.wandb import WandbLoggerCallback

        project = os.environ.get("WANDB_PROJECT_NAME") or os.environ.get("WANDB_PROJECT", PROJECT)
        callbacks.append(WandbLoggerCallback(project=project, group=name))
    if is_configured("mlflow", ("MLFLOW_TRACKING_URI",), say):
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = os.environ["MLFLOW_TRACKING_URI"]
        callbacks.append(MLflowLoggerCallback(tracking_uri=uri, experiment_name=name))
    return callbacks


class _Suggestions(Searcher):  # type: ignore[misc]
    """Ray Tune's question for the next trial, passed on; its own metric and way of resuming are unused."""

    def __init__(self, search: Search, at_a_time: int) -> None:
        super().__init__()
        self._search, self._at_a_time = search, at_a_time

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        """Settings, nothing for now, or the end."""
        if len(self._search.running()) >= self._at_a_time:
            return None
        trial = self._search.next_trial()
        if trial == "done":
            return Searcher.FINISHED
        return trial and {"trial": trial.name, "study": trial.study, **trial.config}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Decisions(FIFOScheduler):  # type: ignore[misc]
    """What trials report goes into the search, which says who goes on."""

    def __init__(self, search: Search, changed: Callable[[], None]) -> None:
        super().__init__()
        self._search, self._changed = search, changed

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray Tune keeps copies of its own, which are never read again

    def _running(self, trial: Any) -> Trial | None:
        return next((t for t in self._search.running() if t.name == _name(trial)), None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Keep a report; decide."""
        running = self._running(trial)
        if running is None:
            return str(self.STOP)
        if cause := result.get("cause"):
            self._end(running, cause)
            return str(self.STOP)
        shared = {"step": result["step"], "seconds": result["seconds"]}
        metrics = {
            code: {key.removeprefix(f"{code}/"): v for key, v in result.items() if key.startswith(f"{code}/")}
            for code in self._search.config.languages_of(running.study)
        }
        by_language = {code: shared | figures for code, figures in metrics.items() if figures}
        goes_on = self._search.report(running, by_language, last=result["last"])
        if goes_on:
            self._changed()
            return str(self.CONTINUE)
        self._end(running, pruned=True)
        return str(self.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A natural end, or the one decided above."""
        if running := self._running(trial):
            self._end(running)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The process itself is lost."""
        if running := self._running(trial):
            file = trial.error_file
            text = Path(file).read_text(encoding="utf-8") if file and Path(file).exists() else ""
            self._end(running, _cause_of_loss(text))

    def _end(self, trial: Trial, cause: str | None = None, *, pruned: bool = False) -> None:
        self._search.end(trial, cause, pruned=pruned)
        self._changed()


def _cause_of_loss(text: str) -> str:
    if "ActorDiedError" in text or "actor died" in text or "OutOfMemory" in text:
        return "its process died, most likely of too little memory"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "its process was lost"
