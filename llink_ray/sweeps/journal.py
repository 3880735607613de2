"""What happened in a sweep, one JSON object a line: the only memory that a resumed sweep needs.

Every line is written before anything acts on it. A kill may tear the last one, never an earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llink_ray.training import history

NAME = "trials.jsonl"
JOINT = "joint"
"""Study whose settings are tried in all languages at once."""

State = Literal["running", "finished", "pruned", "failed"]


@dataclass(frozen=True)
class Report:
    """Figures of one language at one evaluation of a trial."""

    step: int
    seconds: float
    metrics: Mapping[str, float]
    times: Mapping[str, float] = field(default_factory=dict)
    """Where the trial's seconds went, by name, as far as it says."""


@dataclass
class Trial:
    """One setting, tried."""

    study: str
    """Language code, or ``joint``."""
    number: int
    """Place in its study, from 0."""
    config: dict[str, Any]
    reports: dict[str, list[Report]] = field(default_factory=dict)
    """By language."""
    state: State = "running"
    cause: str | None = None

    @property
    def name(self) -> str:
        """The same before and after a resume."""
        return f"{self.study}-{self.number:04d}"

    @property
    def steps(self) -> int:
        """Training steps done, over all languages, as far as reported."""
        return sum(reports[-1].step for reports in self.reports.values() if reports)


class Journal:
    """Trials by study and number, on disk and in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials: dict[tuple[str, int], Trial] = {}
        for record in history.read(path):
            self._apply(record)

    def study(self, name: str) -> list[Trial]:
        """Trials of one study, in order."""
        return [trial for (study, _), trial in sorted(self.trials.items()) if study == name]

    def suggested(self, study: str, number: int, config: Mapping[str, Any]) -> Trial:
        """A new trial."""
        self._write({"event": "suggested", "study": study, "number": number, "config": dict(config)})
        return self.trials[study, number]

    def again(self, trial: Trial) -> None:
        """A trial that was running when the sweep was lost starts over: what it reported is forgotten."""
        self._write({"event": "again", "study": trial.study, "number": trial.number})

    def reported(self, trial: Trial, language: str, report: Report) -> None:
        """Figures; those that are not finite are left out."""
        self._write(
            {
                "event": "report",
                "study": trial.study,
                "number": trial.number,
                "language": language,
                "step": report.step,
                "seconds": round(report.seconds, 3),
                "times": {name: round(seconds, 3) for name, seconds in report.times.items()},
                "metrics": {k: float(v) for k, v in report.metrics.items() if math.isfinite(v)},
            }
        )

    def ended(self, trial: Trial, state: State, cause: str | None = None) -> None:
        """The end of a trial, for good."""
        self._write(
            {
                "event": "ended",
                "study": trial.study,
                "number": trial.number,
                "state": state,
                "cause": cause,
            }
        )

    def _write(self, record: dict[str, Any]) -> None:
        history.append(self.path, record)
        self._apply(record)

    def _apply(self, record: Mapping[str, Any]) -> None:
        key = record["study"], record["number"]
        match record["event"]:
            case "suggested":
                self.trials[key] = Trial(*key, dict(record["config"]))
            case "again":
                self.trials[key].reports = {}
            case "report":
                report = Report(record["step"], record["seconds"], record["metrics"], record.get("times", {}))
                self.trials[key].reports.setdefault(record["language"], []).append(report)
            case "ended":
                self.trials[key].state, self.trials[key].cause = record["state"], record["cause"]
