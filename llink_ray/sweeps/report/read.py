"""A sweep as it lies on the disk: ``sweep.json`` and ``results.parquet``, read leniently.

A sweep may still be running, or have been killed: what is there is taken, what is missing is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.sweeps.report.data import JOINT, SECONDS, Objective, Sweep, Trial, listed_languages

SWEEP = "sweep.json"
RESULTS = "results.parquet"
CONFIG, METRIC, TIME = "config.", "metric.", "time."
LIKELY = ("retrieval.r1", "answers.exact", "numbers.exact")
"""Taken for the objective, in this order, where ``sweep.json`` names none."""

Row = Mapping[str, Any]


def read(directory: Path) -> Sweep:
    """The sweep in ``directory``; without results yet, one without trials.

    Raises:
        LlinkError: the directory holds no sweep, or what it holds cannot be read.
    """
    told = _told(directory / SWEEP)
    rows = _rows(directory / RESULTS)
    if not rows and not (directory / SWEEP).is_file():
        raise LlinkError(f"{directory} holds neither {SWEEP} nor {RESULTS}: name the folder of a sweep")
    metrics = sorted({name for row in rows for name in _under(row, METRIC)})
    return Sweep(told, _objectives(told, metrics), _trials(_by_language(rows, listed_languages(told))))


def _told(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LlinkError(
            f"{path} cannot be read ({error}): the sweep that wrote it can write it again"
        ) from error
    return told if isinstance(told, dict) else {}


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows that name their trial."""
    if not path.is_file():
        return []
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise LlinkError(
            f"{path} cannot be read ({error}): the sweep that wrote it can write it again"
        ) from error
    return [
        {**row, "trial": str(row["trial"]), "language": str(row.get("language") or JOINT)}
        for row in rows
        if row.get("trial") is not None
    ]


def _objectives(told: Mapping[str, Any], metrics: Sequence[str]) -> list[Objective]:
    """Named as ``{"name": …, "mode": …}``, or by name with ``modes`` beside them."""
    entries, modes = told.get("objectives"), told.get("modes")
    entries = entries if isinstance(entries, list) else [entries]
    modes = modes if isinstance(modes, list) else []
    found = []
    for entry, beside in zip_longest(entries, modes[: len(entries)]):
        name, mode = (entry.get("name"), entry.get("mode")) if isinstance(entry, Mapping) else (entry, beside)
        if isinstance(name, str):
            found.append(Objective(name, "min" if mode == "min" else "max"))
    likely = [name for name in (*LIKELY, *metrics) if name in metrics]
    return found or [Objective(likely[0] if likely else LIKELY[0])]


def _by_language(rows: Sequence[Row], languages: Sequence[str]) -> list[Row]:
    """Without the means of joint trials, which stand beside their rows for each language.

    One that failed before its first figure has no other row: it failed in every language.
    """
    known = list(dict.fromkeys([*languages, *(row["language"] for row in rows)]))
    known = [code for code in known if code != JOINT] or [JOINT]
    apart = {row["trial"] for row in rows if row["language"] != JOINT}
    found: list[Row] = []
    for row in rows:
        if row["language"] != JOINT:
            found.append(row)
        elif row["trial"] not in apart:
            found += [{**row, "language": code} for code in known]
    return found


def _trials(rows: Sequence[Row]) -> list[Trial]:
    found: dict[tuple[str, str], Trial] = {}
    for row in rows:
        place = (row["language"], row["trial"])
        trial = found.setdefault(place, Trial(*place, settings={}))
        trial.settings |= _under(row, CONFIG)
        trial.state = str(row.get("state") or trial.state)
        trial.cause = str(row.get("cause") or trial.cause)
        trial.step = max(trial.step, int(_finite(row.get("step"))))
        trial.seconds = max(trial.seconds, _finite(row.get("seconds")))
        trial.times |= {name: _finite(value) for name, value in _under(row, TIME).items()}
        figures = {n: float(v) for n, v in _under(row, METRIC).items() if isinstance(v, int | float)}
        if figures:
            figures.setdefault(SECONDS, _finite(row.get("seconds")))
            trial.reports.append((int(_finite(row.get("step"))), figures))
    for trial in found.values():
        trial.reports.sort(key=lambda report: report[0])
    return list(found.values())


def _under(row: Row, prefix: str) -> dict[str, Any]:
    """What stands under a prefix and is something."""
    return {n.removeprefix(prefix): v for n, v in row.items() if n.startswith(prefix) and v is not None}


def _finite(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
