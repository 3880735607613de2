"""A sweep for TensorBoard: curves of every trial, and its settings for the table of hyperparameters."""

from __future__ import annotations

import shutil
from pathlib import Path

from llink_ray.sweeps.report.data import RUNNING, SECONDS, Sweep, Trial

FOLDER = "tensorboard"


def write_events(sweep: Sweep, folder: Path) -> list[Path]:
    """A folder for each trial that has ended and reported; those that are there stay as they are.

    Returns the new ones. Times are the trial's own seconds, so that trials can be laid over each other.
    """
    made = []
    for trial in sweep.trials:
        place = folder / trial.language / trial.name
        if trial.state == RUNNING or not trial.reports or place.is_dir():
            continue
        unfinished = place.with_name(f".{place.name}")  # a half-written one would never be mended
        shutil.rmtree(unfinished, ignore_errors=True)
        _write(trial, sweep.main.name, unfinished)
        unfinished.rename(place)
        made.append(place)
    return made


def _write(trial: Trial, metric: str, place: Path) -> None:
    from tensorboardX.summary import hparams, scalar
    from tensorboardX.writer import FileWriter

    writer = FileWriter(str(place))
    try:
        last = trial.last(metric)
        for summary in hparams(trial.settings, {} if last is None else {metric: last}):
            writer.add_summary(summary, walltime=0.0)
        for step, figures in trial.reports:
            for name, value in figures.items():
                writer.add_summary(scalar(name, value), step, walltime=figures[SECONDS])
    finally:
        writer.close()
