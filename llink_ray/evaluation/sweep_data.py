"""A sweep as it lies on the disk: ``sweep.json`` and ``results.parquet``, read leniently.

A sweep may still be running, or have been killed: what is there is taken, what is missing is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.languages import find

SWEEP = "sweep.json"
RESULTS = "results.parquet"
CONFIG, METRIC, TIME = "config.", "metric.", "time."
SECONDS = "seconds"
"""A figure like any other, though it stands in a column of its own."""
JOINT = "joint"
FINISHED, PRUNED, FAILED, RUNNING = "finished", "pruned", "failed", "running"
LIKELY = ("retrieval.r1", "answers.exact", "numbers.exact")
"""Taken for the objective, in this order, where ``sweep.json`` names none."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Objective:
    """A figure, and which end of it is good."""

    name: str
    mode: str = "max"

    @property
    def sign(self) -> float:
        """Times this, more is better."""
        return -1.0 if self.mode == "min" else 1.0


@dataclass
class Trial:
    """One setting of everything that was searched, tried in one language."""

    language: str
    name: str
    settings: dict[str, Any]
    state: str = RUNNING
    cause: str = ""
    step: int = 0
    seconds: float = 0.0
    reports: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """Step and figures of each, by step."""
    times: dict[str, float] = field(default_factory=dict)
    """Where its seconds went, as far as it told."""

    def last(self, metric: str) -> float | None:
        """The figure as last reported; None where it never was, or came to no number."""
        for _, figures in reversed(self.reports):
            if metric in figures:
                return figures[metric] if math.isfinite(figures[metric]) else None
        return None

    def score(self, metric: str) -> float | None:
        """The figure of a trial that ran to its end; a pruned one's is of less training, so it has none."""
        return self.last(metric) if self.state == FINISHED else None

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """Its settings, to be compared with those of another."""
        return tuple(sorted((name, repr(value)) for name, value in self.settings.items()))


@dataclass(frozen=True)
class Sweep:
    """What was asked for, and all trials in the order in which they first reported."""

    told: Mapping[str, Any]
    """``sweep.json``."""
    objectives: Sequence[Objective]
    """The first is the one that decides where there can be one only."""
    trials: Sequence[Trial]

    @property
    def main(self) -> Objective:
        """The objective that decides."""
        return self.objectives[0]

    @property
    def languages(self) -> list[str]:
        """Codes, as the sweep named them, then others that reported."""
        asked = [code for code in _asked(self.told) if self.of(code)]
        return list(dict.fromkeys([*asked, *(trial.language for trial in self.trials)]))

    @property
    def settings(self) -> list[str]:
        """Dotted names of what was searched, in the space's order."""
        tried = {name: None for trial in self.trials for name in trial.settings}
        return [name for name in {**self.ranges, **tried} if name in tried]

    @property
    def ranges(self) -> dict[str, Mapping[str, Any]]:
        """The space, where ``sweep.json`` holds it: ``low``, ``high``, ``log`` or ``values``, and ``why``."""
        space = self.told.get("space")
        ranges = space.get("ranges", space) if isinstance(space, Mapping) else {}
        if not isinstance(ranges, Mapping):
            return {}
        return {name: value for name, value in ranges.items() if isinstance(value, Mapping)}

    @property
    def planned(self) -> int | None:
        """Trials asked for in each study."""
        trials = self.told.get("trials")
        return trials if isinstance(trials, int) and not isinstance(trials, bool) else None

    def of(self, language: str, *states: str) -> list[Trial]:
        """Trials of one language, in one of these states where any are named."""
        return [t for t in self.trials if t.language == language and (not states or t.state in states)]

    def scored(self, language: str, metric: str) -> list[Trial]:
        """Finished trials that have the figure."""
        return [t for t in self.of(language, FINISHED) if t.score(metric) is not None]


def called(language: str) -> str:
    """A language's English name, or the code itself where the table has none."""
    if language == JOINT:
        return "all languages"
    try:
        return find(language).name
    except LlinkError:
        return language


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
    return Sweep(told, _objectives(told, metrics), _trials(_by_language(rows, _asked(told))))


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


def _asked(told: Mapping[str, Any]) -> list[str]:
    languages = told.get("languages")
    return [str(code) for code in languages] if isinstance(languages, list) else []


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
