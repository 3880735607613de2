"""What a sweep found: the best of each language, of all, the Pareto set, and which settings mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import optuna
from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

from llink_ray.sweeps.objective import Objective, ranks
from llink_ray.sweeps.search import Search, best_of
from llink_ray.sweeps.trials import JOINT, Trial
from llink_ray.text.languages import find

ENOUGH_FOR_IMPORTANCE = 16
"""Trials. On a made function of six settings, one of which counts for nearly all, it came first in 34 of 40
tries with 16 trials, in 28 with 12, in 40 with 24."""
ENOUGH_TO_CORRELATE = 5
"""Settings tried in two languages, below which a rank correlation says nothing."""


@dataclass(frozen=True)
class LanguageResults:
    """The trials of a sweep as they went in one language."""

    search: Search
    language: str

    @property
    def name(self) -> str:
        """The language's, in English."""
        return find(self.language).name

    @cached_property
    def trials(self) -> list[Trial]:
        """All, in the order in which they began."""
        return self.search.trials(JOINT if self.search.config.joint else self.language)

    @property
    def objective(self) -> Objective:
        """The first of the sweep, which decides where there can be one only."""
        return self.search.config.objectives[0]

    def value(self, trial: Trial, metric: str = "") -> float | None:
        """The last figure of a finished trial, the deciding one unless named; None of others."""
        return trial.last(self.language, metric or self.objective.name) if trial.state == "finished" else None

    def score(self, trial: Trial) -> float:
        """The deciding figure turned so that larger is better; minus infinity without one."""
        value = self.value(trial)
        return -math.inf if value is None else self.objective.sign * value

    @cached_property
    def scored(self) -> list[Trial]:
        """Finished trials with a figure, best first, of equal ones the earliest."""
        return sorted((t for t in self.trials if self.score(t) > -math.inf), key=lambda t: -self.score(t))

    @property
    def ordered(self) -> list[Trial]:
        """Finished trials, best first, then pruned ones by what they last reported, then running ones."""
        rest = [t for t in self.trials if t not in self.scored and t.state != "failed"]
        last = {t.name: t.last(self.language, self.objective.name) for t in rest}
        rest.sort(key=lambda t: (t.state != "pruned", -self.objective.sign * (last[t.name] or 0.0)))
        return self.scored + rest

    @property
    def best(self) -> Trial | None:
        """The finished trial that is best by the deciding figure."""
        return next(iter(self.scored), None)

    def pareto(self, *objectives: Objective) -> list[Trial]:
        """Finished trials that none surpasses in all of the objectives, best by the first of them first."""
        scores = []
        for trial in self.trials:
            values = [self.value(trial, objective.name) for objective in objectives]
            signed = [o.sign * v for o, v in zip(objectives, values, strict=True) if v is not None]
            scores.append(tuple(signed) if len(signed) == len(objectives) else None)
        return best_of(self.trials, scores)

    def steps_saved(self) -> tuple[int, int] | None:
        """Steps taken, and what they were had every pruned trial run as long as the longest finished one.

        None before a trial has finished, or where the length was itself searched.
        """
        lengths = [trial.steps_in(self.language) for trial in self.scored]
        if not lengths or any(key.endswith(".steps") for key in self.search.config.space.parameters):
            return None
        taken = {trial.name: trial.steps_in(self.language) for trial in self.trials}
        pruned = [taken[trial.name] for trial in self.trials if trial.state == "pruned"]
        return sum(taken.values()), sum(taken.values()) + sum(max(0, max(lengths) - n) for n in pruned)

    def importances(self) -> tuple[dict[str, float], int, int]:
        """Each setting's share in what moved the deciding figure, the greatest first.

        By random forest, at the latest evaluation that enough trials reached, pruned ones too. Empty for too
        few trials, or where nothing varied.

        Returns:
            Shares by setting, how many trials they are of, and the evaluation, counted from 1.
        """
        ended = [trial for trial in self.trials if trial.state in ("finished", "pruned")]
        reports = [(trial, self.search.complete(trial, self.language)) for trial in ended]
        lengths = sorted((len(metrics) for _, metrics in reports), reverse=True)
        evaluation = lengths[ENOUGH_FOR_IMPORTANCE - 1] if len(lengths) >= ENOUGH_FOR_IMPORTANCE else 0
        compared = [
            optuna.trial.create_trial(
                value=metrics[evaluation - 1][self.objective.name],
                params=trial.config,
                distributions=trial.frozen.distributions,
            )
            for trial, metrics in reports
            if 0 < evaluation <= len(metrics)
        ]
        if len({trial.value for trial in compared}) < 2:
            return {}, len(self.scored), 0
        study = optuna.create_study(direction=self.objective.direction)
        study.add_trials(compared)
        # Of Optuna's ways the one that found the right setting with the fewest trials.
        evaluator = MeanDecreaseImpurityImportanceEvaluator(seed=0)
        return get_param_importances(study, evaluator=evaluator), len(compared), evaluation


@dataclass(frozen=True)
class SharedSetting:
    """One setting of everything, finished in every language."""

    trials: Mapping[str, Trial]
    """By language."""
    ranks: Mapping[str, float]
    """Among what was finished in every language."""

    @property
    def mean_rank(self) -> float:
        """What decides."""
        return fmean(self.ranks.values())

    def behind(self, result: LanguageResults) -> float:
        """By how much a language's own best is better."""
        return result.score(result.scored[0]) - result.score(self.trials[result.language])


def shared_settings(results: Sequence[LanguageResults]) -> list[SharedSetting]:
    """What was finished in every language, by the mean of its ranks; empty with one language."""
    if len(results) < 2:
        return []
    by_config: dict[str, dict[str, Trial]] = {}
    for result in results:
        for trial in result.scored:
            by_config.setdefault(repr(sorted(trial.config.items())), {}).setdefault(result.language, trial)
    everywhere = [trials for trials in by_config.values() if len(trials) == len(results)]
    everywhere.sort(key=lambda trials: min(trial.number for trial in trials.values()))
    columns = [ranks([result.score(trials[result.language]) for trials in everywhere]) for result in results]
    shared = [
        SharedSetting(trials, dict(zip([result.language for result in results], row, strict=True)))
        for trials, row in zip(everywhere, zip(*columns, strict=True), strict=True)
    ]
    return sorted(shared, key=lambda setting: setting.mean_rank)


def rank_correlation(shared: Sequence[SharedSetting], first: str, second: str) -> float | None:
    """Spearman's, of two languages' figures; None for too few settings, or where all are equal."""
    from scipy.stats import spearmanr

    columns = [[setting.ranks[code] for setting in shared] for code in (first, second)]
    if len(shared) < ENOUGH_TO_CORRELATE or any(len(set(column)) < 2 for column in columns):
        return None
    return float(spearmanr(*columns).statistic)
