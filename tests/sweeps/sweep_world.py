"""A made-up search: trials are a formula, run in any order, so that a whole sweep takes milliseconds."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llink_ray.sweeps.config import SweepConfig
from llink_ray.sweeps.objective import parse_objectives
from llink_ray.sweeps.search import Search
from llink_ray.sweeps.space import SearchSpace, choice, real
from llink_ray.sweeps.trials import FILE, Trial, repair

EVALUATIONS = 9
SPACE = SearchSpace(
    "made-up",
    {
        "stage_a.learning_rate": real(1e-4, 1e-1, log=True, why="The best is 1e-2."),
        "projector.depth": choice(1, 2, 3, why="The best is 2."),
    },
)

Formula = Callable[[dict[str, Any], str, int], dict[str, float]]
"""Figures of a setting in a language at an evaluation."""


def quality(config: dict[str, Any], language: str = "bo", evaluation: int = EVALUATIONS) -> dict[str, float]:
    """Rises to a height that the setting decides, a little differently in each language."""
    from math import log10

    best = -2.0 if language == "bo" else -1.5
    height = (
        1 - 0.2 * abs(log10(config["stage_a.learning_rate"]) - best) - 0.1 * (config["projector.depth"] != 2)
    )
    return {"retrieval.r1": height * evaluation / EVALUATIONS, "slots": float(config["projector.depth"])}


def config(**changed: Any) -> SweepConfig:
    """Sixteen trials of one language, pruned, two at a time."""
    fields: dict[str, Any] = {
        "space": SPACE,
        "languages": ("bo",),
        "joint": False,
        "trials": 16,
        "objectives": parse_objectives("retrieval.r1"),
        "algorithm": "tpe",
        "seed": 0,
        "prune": True,
        "window": 4,
    }
    return SweepConfig(**(fields | changed))


class Runner:
    """Carries out a search, two trials at a time; which of them reports next is left to chance."""

    def __init__(
        self,
        folder: Path,
        sweep: SweepConfig,
        chance: int = 0,
        formula: Formula = quality,
        at_a_time: int = 2,
    ) -> None:
        folder.mkdir(exist_ok=True)
        repair(folder / FILE)
        self.search = Search(sweep, folder / FILE)
        self.chance, self.formula, self.at_a_time = random.Random(chance), formula, at_a_time
        self.evaluations: dict[str, int] = {}
        self.runs: dict[str, int] = {}
        self.changed: Callable[[], None] = lambda: None

    def go(self, events: int = 1_000_000) -> Runner:
        """To the end, or for a number of reports, as if the process was killed then."""
        for _ in range(events):
            self._fill()
            if not (running := self.search.running()):
                return self
            self._report(self.chance.choice(running))
            self.changed()
        return self

    def _fill(self) -> None:
        while len(self.search.running()) < self.at_a_time:
            trial = self.search.next_trial()
            if not isinstance(trial, Trial):
                return
            self.evaluations[trial.name] = 0
            self.runs[trial.name] = self.runs.get(trial.name, 0) + 1

    def _report(self, trial: Trial) -> None:
        evaluation = self.evaluations[trial.name] = self.evaluations[trial.name] + 1
        try:
            figures = {
                code: {
                    "step": evaluation * 10,
                    "seconds": float(evaluation),
                    **self.formula(trial.config, code, evaluation),
                }
                for code in self.search.config.languages_of(trial.study)
            }
        except ArithmeticError as error:
            self.search.end(trial, str(error))
            return
        if not self.search.report(trial, figures, last=evaluation == EVALUATIONS):
            self.search.end(trial, pruned=True)
        elif evaluation == EVALUATIONS:
            self.search.end(trial)

    def outcome(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        """Every trial: name, state, steps, setting."""
        return [(t.name, t.state, t.steps, t.config) for t in self.search.all_trials()]
