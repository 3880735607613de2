"""What a sweep leaves: ``results.parquet``, and settings that ``jobs/train.py`` takes as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from llink_ray.settings import Settings
from llink_ray.storage.atomic import disk_refused
from llink_ray.sweeps.journal import JOINT, Report, Trial
from llink_ray.sweeps.plan import Plan

RESULTS = "results.parquet"


def rows(plan: Plan) -> list[dict[str, Any]]:
    """One row a report of a trial that has ended; one also for a trial that failed before its first.

    A joint trial has rows for each language, and rows ``joint`` with the means over languages and, where it
    was finished, the mean of its ranks.
    """
    found: list[dict[str, Any]] = []
    for study in plan.search.studies:
        trials = [trial for trial in plan.trials(study) if trial.state != "running"]
        scores = plan.scores(trials)
        for trial, score in zip(trials, scores, strict=True):
            told: Mapping[str, list[Report]] = trial.reports
            if study == JOINT:
                told = {**told, JOINT: _means(list(told.values()))}
            if not any(told.values()):
                told = {study: [Report(0, 0.0, {})]}
            for language, reports in told.items():
                found += [_row(trial, language, report) for report in reports]
            if study == JOINT and score is not None and trial.state == "finished":
                found[-1]["metric.joint.rank"] = -score[0] * sum(s is not None for s in scores)
    return found


def _means(told: list[list[Report]]) -> list[Report]:
    return [
        Report(
            together[0].step,
            max(report.seconds for report in together),
            {
                name: fmean(report.metrics[name] for report in together)
                for name in together[0].metrics
                if all(name in report.metrics for report in together)
            },
        )
        for together in zip(*told, strict=False)
    ]


def _row(trial: Trial, language: str, report: Report) -> dict[str, Any]:
    return {
        "language": language,
        "trial": trial.name,
        "state": trial.state,
        "step": report.step,
        "seconds": report.seconds,
        "cause": trial.cause,
        **{f"config.{key}": value for key, value in trial.config.items()},
        **{f"time.{key}": value for key, value in report.times.items()},
        **{f"metric.{key}": value for key, value in report.metrics.items()},
    }


def write_results(plan: Plan, folder: Path) -> Path:
    """``results.parquet``, whole or not at all.

    Raises:
        JobFailed: the disk refused.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = rows(plan)
    names: dict[str, None] = dict.fromkeys(("language", "trial", "state", "step", "seconds", "cause"))
    names |= {f"config.{key}": None for key in plan.search.space.ranges}
    names |= dict.fromkeys(key for row in told for key in row)
    columns = {name: _column(name, [row.get(name) for row in told]) for name in names}
    path = folder / RESULTS
    temporary = path.with_name(f".{path.name}")
    try:
        pq.write_table(pa.table(columns), temporary)
        temporary.replace(path)
    except OSError as error:
        raise disk_refused("the sweep's", path, error, "name another place with --output") from error
    return path


def _column(name: str, values: list[Any]) -> Any:
    """An Arrow array of one type: settings of mixed kinds are written as text."""
    import pyarrow as pa

    if name in ("language", "trial", "state", "cause"):
        return pa.array(values, pa.string())
    if name == "step":
        return pa.array(values, pa.int64())
    if name == "seconds" or name.startswith(("metric.", "time.")):
        return pa.array(values, pa.float64())
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int}:
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def best_yaml(trial: Trial, settings: Settings, figures: Mapping[str, float], command: str) -> str:
    """A settings file that is complete, so that no preset or default stands between it and the trial."""
    told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    searched = "".join(f"#   {key} = {value}\n" for key, value in trial.config.items())
    head = f"# The best of a sweep: trial {trial.name}, {told}, on validation pairs.\n#   {command}\n"
    tree = settings.model_dump(mode="json")
    body = yaml.safe_dump(tree, default_flow_style=None, sort_keys=False, width=110, allow_unicode=True)
    return f"{head}# Searched:\n{searched}{body}"
