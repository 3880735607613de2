"""A made-up search: trials are a formula, run in any order, so that a whole sweep takes milliseconds."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llink_ray.sweeps.journal import NAME, Journal, Report, Trial
from llink_ray.sweeps.objective import objectives
from llink_ray.sweeps.plan import Plan, Search
from llink_ray.sweeps.space import Space, choice, real

LOOKS = 9
SPACE = Space(
    "made-up",
    {
        "stage_a.learning_rate": real(1e-4, 1e-1, log=True, why="The best is 1e-2."),
        "projector.depth": choice(1, 2, 3, why="The best is 2."),
    },
)

Formula = Callable[[dict[str, Any], str, int], dict[str, float]]
"""Figures of a setting in a language at a look."""


def quality(config: dict[str, Any], language: str = "bo", look: int = LOOKS) -> dict[str, float]:
    """Rises look by look to a height that the setting decides, a little differently in each language."""
    from math import log10

    best = -2.0 if language == "bo" else -1.5
    height = (
        1 - 0.2 * abs(log10(config["stage_a.learning_rate"]) - best) - 0.1 * (config["projector.depth"] != 2)
    )
    return {"retrieval.r1": height * look / LOOKS, "slots": float(config["projector.depth"])}


def search(**changed: Any) -> Search:
    """Sixteen trials of one language, pruned, two at a time."""
    given: dict[str, Any] = {
        "space": SPACE,
        "languages": ("bo",),
        "joint": False,
        "trials": 16,
        "objectives": objectives("retrieval.r1"),
        "algorithm": "tpe",
        "seed": 0,
        "prune": True,
        "window": 4,
    }
    return Search(**(given | changed))


class Runner:
    """Carries out a plan, two trials at a time; which of them reports next is left to chance."""

    def __init__(
        self, folder: Path, asked: Search, chance: int = 0, formula: Formula = quality, at_a_time: int = 2
    ) -> None:
        self.plan = Plan(asked, Journal(folder / NAME))
        self.chance, self.formula, self.at_a_time = random.Random(chance), formula, at_a_time
        self.looks: dict[str, int] = {}
        self.runs: dict[str, int] = {}
        self.changed: Callable[[], None] = lambda: None

    def go(self, events: int = 1_000_000) -> Runner:
        """To the end, or for a number of reports, as if the process was killed then."""
        for _ in range(events):
            self._fill()
            if not self.plan.running:
                return self
            self._report(self.chance.choice(self.plan.running))
            self.changed()
        return self

    def _fill(self) -> None:
        while len(self.plan.running) < self.at_a_time:
            trial = self.plan.next()
            if not isinstance(trial, Trial):
                return
            self.looks[trial.name] = 0
            self.runs[trial.name] = self.runs.get(trial.name, 0) + 1

    def _report(self, trial: Trial) -> None:
        look = self.looks[trial.name] = self.looks[trial.name] + 1
        try:
            told = {
                code: Report(look * 10, float(look), self.formula(trial.config, code, look))
                for code in self.plan.search.languages_of(trial.study)
            }
        except ArithmeticError as error:
            self.plan.ended(trial, str(error))
            return
        if not self.plan.reported(trial, told, last=look == LOOKS):
            self.plan.ended(trial, pruned=True)
        elif look == LOOKS:
            self.plan.ended(trial)

    def outcome(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        """Every trial: name, state, steps, setting."""
        return [
            (t.name, t.state, t.steps, t.config)
            for s in self.plan.search.studies
            for t in self.plan.trials(s)
        ]
