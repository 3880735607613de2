"""Which trial is best, in one language, in all of them, and where several figures count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llink_ray.sweeps.report.data import FINISHED, PRUNED, Objective, Sweep, Trial

ENOUGH_TO_COMPARE = 5
"""Settings tried in two languages, below which a rank correlation says nothing."""
ENOUGH_TO_DISAGREE = 8
"""Finished trials in each language, below which the best few are nearly all."""

Scores = Mapping[str, float]
"""Of one trial, by objective."""


def best(sweep: Sweep, language: str) -> Trial | None:
    """The finished trial that is best by the deciding objective; of equal ones the earliest."""
    objective = sweep.main
    found = sweep.scored(language, objective.name)
    return max(found, key=lambda trial: _good(trial, objective), default=None)


def in_order(sweep: Sweep, language: str) -> list[Trial]:
    """Best first: finished ones, then pruned ones by what they last reported, then those without a figure."""
    objective = sweep.main

    def place(trial: Trial) -> tuple[int, float]:
        value = trial.last(objective.name)
        if value is None:
            return 3, 0.0
        return {FINISHED: 0, PRUNED: 1}.get(trial.state, 2), -objective.sign * value

    return sorted(sweep.of(language), key=place)


def _good(trial: Trial, objective: Objective) -> float:
    score = trial.score(objective.name)
    return -math.inf if score is None else objective.sign * score


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Places of the points that no other surpasses, where more is better in each figure.

    One surpasses another that is at least as good in all and better in one; equal points both stand.
    """
    return [
        i
        for i, one in enumerate(points)
        if not any(
            tuple(other) != tuple(one) and all(a >= b for a, b in zip(other, one, strict=True))
            for other in points
        )
    ]


def pareto(sweep: Sweep, language: str) -> list[Trial]:
    """Finished trials that none surpasses in all objectives, best by the first of them first."""
    found = [
        t for t in sweep.of(language, FINISHED) if all(_good(t, o) > -math.inf for o in sweep.objectives)
    ]
    kept = [found[i] for i in front([[_good(t, o) for o in sweep.objectives] for t in found])]
    return sorted(kept, key=lambda trial: [-_good(trial, o) for o in sweep.objectives])


def ranks(values: Sequence[float]) -> list[float]:
    """1 for the largest; equal ones share the mean of their places."""
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata([-value for value in values])]


@dataclass(frozen=True)
class Shared:
    """One setting of everything, finished in every language."""

    settings: Mapping[str, Any]
    trials: Mapping[str, Trial]
    """By language."""
    ranks: Mapping[str, float]
    """Among what was finished in every language."""

    @property
    def mean_rank(self) -> float:
        """What decides."""
        return sum(self.ranks.values()) / len(self.ranks)


def shared(sweep: Sweep) -> list[Shared]:
    """What was finished in every language, by the mean of its ranks; empty with one language."""
    languages, objective = sweep.languages, sweep.main
    if len(languages) < 2:
        return []
    tried: dict[Any, dict[str, Trial]] = {}
    for language in languages:
        for trial in sweep.scored(language, objective.name):
            known = tried.setdefault(trial.key, {})
            if language not in known or _good(trial, objective) > _good(known[language], objective):
                known[language] = trial
    everywhere = [trials for trials in tried.values() if len(trials) == len(languages)]
    columns = [ranks([_good(trials[code], objective) for trials in everywhere]) for code in languages]
    found = [
        Shared(trials[languages[0]].settings, trials, dict(zip(languages, places, strict=True)))
        for trials, places in zip(everywhere, zip(*columns, strict=True), strict=True)
    ]
    return sorted(found, key=lambda one: one.mean_rank)


def behind(sweep: Sweep, chosen: Shared, language: str) -> float:
    """By how much the language's own best is better."""
    own = best(sweep, language)
    assert own is not None  # what is finished everywhere is finished here
    return _good(own, sweep.main) - _good(chosen.trials[language], sweep.main)


def agreement(found: Sequence[Shared], one: str, other: str) -> float | None:
    """Spearman's rank correlation of two languages' scores; None for too few, or where all are equal."""
    from scipy.stats import rankdata

    if len(found) < ENOUGH_TO_COMPARE:
        return None
    first, second = (rankdata([shared.ranks[code] for shared in found]) for code in (one, other))
    spread = math.sqrt(float(first.var() * second.var()))
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread if spread else None


def top(sweep: Sweep, language: str) -> list[Trial]:
    """The best quarter of the finished trials, at least three."""
    found = [trial for trial in in_order(sweep, language) if trial.score(sweep.main.name) is not None]
    return found[: max(3, math.ceil(len(found) / 4))]


def disagreed(sweep: Sweep, setting: str) -> bool:
    """Whether two languages' best trials have no value of a setting in common, nor overlapping ranges."""
    if any(len(sweep.scored(code, sweep.main.name)) < ENOUGH_TO_DISAGREE for code in sweep.languages):
        return False
    found = [[t.settings[setting] for t in top(sweep, c) if setting in t.settings] for c in sweep.languages]
    if not all(found):
        return False
    if all(isinstance(v, int | float) and not isinstance(v, bool) for values in found for v in values):
        return bool(max(map(min, found)) > min(map(max, found)))
    return any(set(map(repr, one)).isdisjoint(map(repr, other)) for one in found for other in found)


@dataclass(frozen=True)
class Steps:
    """Training steps, and what they would have been had every pruned trial run to its end."""

    spent: int
    unpruned: int


def steps(sweep: Sweep, language: str) -> Steps | None:
    """None before a trial is finished, or where the trials' length was itself searched."""
    lengths = [trial.step for trial in sweep.of(language, FINISHED)]
    if not lengths or any(setting.endswith(".steps") for setting in sweep.settings):
        return None
    spent = sum(trial.step for trial in sweep.of(language))
    saved = sum(max(0, max(lengths) - trial.step) for trial in sweep.of(language, PRUNED))
    return Steps(spent, spent + saved)


@dataclass(frozen=True)
class Progress:
    """The best so far after each trial that ended."""

    values: list[float | None]
    """None before the first that was finished."""
    seconds: list[float]
    """Of all trials so far, one after the other."""


def progress(sweep: Sweep, language: str) -> Progress:
    """In the order in which the trials began."""
    objective, so_far, spent = sweep.main, None, 0.0
    values: list[float | None] = []
    seconds = []
    for trial in sweep.of(language):
        score = trial.score(objective.name)
        if score is not None and (so_far is None or objective.sign * (score - so_far) > 0):
            so_far = score
        spent += trial.seconds
        values.append(so_far)
        seconds.append(spent)
    return Progress(values, seconds)


def worth_showing(values: Sequence[float], sign: float) -> tuple[float, float]:
    """From the best to as far off as the better half of the trials reaches, three times over.

    At least three quarters of the values are within.
    """
    goodness = sorted(sign * value for value in values)
    top, middle, quarter = goodness[-1], goodness[len(goodness) // 2], goodness[len(goodness) // 4]
    least = max(goodness[0], min(quarter, top - 3 * (top - middle)))
    low, high = sorted((sign * least, sign * top))
    return low, high
