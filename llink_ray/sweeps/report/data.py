"""A sweep for its report: trials, their settings, and what they came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.text.languages import find

SECONDS = "seconds"
"""A figure like any other, though it stands in a column of its own."""
JOINT = "joint"
FINISHED, PRUNED, FAILED, RUNNING = "finished", "pruned", "failed", "running"


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
        asked = [code for code in listed_languages(self.told) if self.of(code)]
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


def listed_languages(told: Mapping[str, Any]) -> list[str]:
    """Codes that ``sweep.json`` names."""
    languages = told.get("languages")
    return [str(code) for code in languages] if isinstance(languages, list) else []
