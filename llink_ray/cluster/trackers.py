"""A run's figures for experiment trackers: TensorBoard always, W&B and MLflow where they are set up."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llink_ray.cluster.run_directory import RunDir
from llink_ray.progress import PrintLine
from llink_ray.settings import Settings
from llink_ray.training import history

PROJECT = "llink_ray"
"""Project or experiment, unless ``WANDB_PROJECT`` or ``MLFLOW_EXPERIMENT_NAME`` names another."""


class Tracker(NamedTuple):
    """One place that figures are sent to."""

    name: str
    log: Callable[[Mapping[str, Any]], None]
    """Takes a record of the history."""
    close: Callable[[], None]


def _figures(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record by names such as ``stage_a/loss``."""
    named = {name: value for name, value in record.items() if name not in ("stage", "step")}
    return {f"stage_{record['stage']}/{name}": v for name, v in named.items() if isinstance(v, int | float)}


def _tensorboard(run: RunDir, _: Settings) -> Tracker:
    """Event files in the run directory, written anew from the history, so that no step is there twice."""
    from tensorboardX import SummaryWriter

    folder = run.path / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    writer = SummaryWriter(str(folder))

    def log(record: Mapping[str, Any]) -> None:
        for name, value in _figures(record).items():
            writer.add_scalar(name, value, record["step"])
        writer.flush()

    for record in history.read(run.history):
        log(record)
    return Tracker("TensorBoard", log, writer.close)


def _wandb(run: RunDir, settings: Settings) -> Tracker:
    """A W&B run named after the run directory; a resumed run continues it."""
    import wandb

    name = run.path.name
    tracked = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=name,
        name=name,
        resume="allow",
        dir=str(run.path),
        config=settings.model_dump(mode="json"),
    )
    for stage in ("stage_a", "stage_b"):
        tracked.define_metric(f"{stage}/*", step_metric=f"{stage}/step")

    def log(record: Mapping[str, Any]) -> None:
        tracked.log({**_figures(record), f"stage_{record['stage']}/step": record["step"]})

    return Tracker("W&B", log, tracked.finish)


def _mlflow(run: RunDir, settings: Settings) -> Tracker:
    """An MLflow run named after the run directory."""
    import mlflow

    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
    mlflow.start_run(run_name=run.path.name)
    mlflow.log_dict(settings.model_dump(mode="json"), "settings.json")
    return Tracker(
        "MLflow", lambda record: mlflow.log_metrics(_figures(record), step=record["step"]), mlflow.end_run
    )


class Trackers:
    """All trackers of a run. One that fails is reported once and left out: it must not end the training."""

    def __init__(self, run: RunDir, settings: Settings, say: PrintLine) -> None:
        self._say, self._trackers = say, list[Tracker]()
        starts: dict[str, Callable[[RunDir, Settings], Tracker]] = {"TensorBoard": _tensorboard}
        if is_configured("wandb", ("WANDB_API_KEY", "WANDB_MODE"), say):
            starts["W&B"] = _wandb
        if is_configured("mlflow", ("MLFLOW_TRACKING_URI",), say):
            starts["MLflow"] = _mlflow
        for name, start in starts.items():
            self._trackers += self._attempt(name, start, run, settings)

    def log(self, record: Mapping[str, Any]) -> None:
        """Send a record of the history."""
        self._trackers = [t for t in self._trackers if self._attempt(t.name, t.log, record)]

    def close(self) -> None:
        """No more records come."""
        for tracker in self._trackers:
            self._attempt(tracker.name, tracker.close)

    def _attempt(self, name: str, action: Callable[..., Any], *arguments: Any) -> list[Any]:
        """The result of ``action`` alone in a list, which is empty where it failed."""
        try:
            return [action(*arguments)]
        except Exception as error:
            self._say(f"{name} gets no more figures: {type(error).__name__}: {error}")
            return []


def is_configured(package: str, variables: tuple[str, ...], say: PrintLine) -> bool:
    """Whether one of the environment variables that switch a tracker on is set, and it is installed."""
    present = [variable for variable in variables if os.environ.get(variable)]
    if present and importlib.util.find_spec(package) is None:
        say(f"{present[0]} is set, but {package} is not installed: nothing is sent; pip install {package}")
        return False
    return bool(present)
