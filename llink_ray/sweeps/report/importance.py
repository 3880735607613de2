"""Which settings moved the objective: Optuna's importance over a sweep's trials."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llink_ray.sweeps.report.data import FINISHED, PRUNED, Sweep, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ENOUGH = 16
"""Trials. On a made function of six settings, one of which counts for nearly all, it came first in 34 of 40
tries with 16 trials, in 28 with 12, in 40 with 24."""
RESAMPLED = 20
"""Times that the trials are drawn anew, to see how much the figure depends on which they are."""


@dataclass(frozen=True)
class Importance:
    """A setting's share of what the objective varied by; all settings' add up to 1."""

    share: float
    low: float
    high: float
    """The middle 80 % of the same over trials drawn anew, with repetition."""


@dataclass(frozen=True)
class Basis:
    """What an importance is drawn from."""

    trials: Sequence[Trial]
    values: Sequence[float]
    """The objective of each."""
    step: int | None = None
    """Where all were looked at; None: at their ends."""


def basis(sweep: Sweep, language: str) -> Basis:
    """The finished trials; of too few, all that reached one step, the latest at which there are enough."""
    metric = sweep.main.name
    finished = sweep.scored(language, metric)
    if len(finished) < ENOUGH:
        at: dict[int, dict[str, tuple[Trial, float]]] = {}
        for trial in sweep.of(language, FINISHED, PRUNED):
            for step, figures in trial.reports:
                figure = figures.get(metric, math.nan)
                if math.isfinite(figure):
                    at.setdefault(step, {})[trial.name] = trial, figure
        for step, seen in sorted(at.items(), reverse=True):
            if len(seen) >= ENOUGH:
                return Basis([t for t, _ in seen.values()], [v for _, v in seen.values()], step)
    return Basis(finished, [value for t in finished if (value := t.score(metric)) is not None])


def importance(sweep: Sweep, language: str) -> dict[str, Importance]:
    """By setting, the greatest first; empty for too few trials, or where nothing varied.

    Settings that some trials lack, or that never changed, are left out.
    """
    seen = basis(sweep, language)
    spaces = _distributions(sweep, seen.trials)
    if len(seen.trials) < ENOUGH or len(set(seen.values)) < 2 or len(spaces) < 2:
        return {}
    draw, places = random.Random(0), range(len(seen.trials))
    drawn = [places, *(draw.choices(places, k=len(places)) for _ in range(RESAMPLED))]
    shares, *again = [_shares(seen, one, spaces) for one in drawn]
    cut = RESAMPLED // 10
    found = {}
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        spread = sorted(one[name] for one in again)
        found[name] = Importance(share, min(share, spread[cut]), max(share, spread[-1 - cut]))
    return found


def _shares(seen: Basis, places: Iterable[int], spaces: dict[str, BaseDistribution]) -> dict[str, float]:
    """By random forest: of Optuna's ways the one that found the right setting with the fewest trials."""
    import optuna
    from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))  # asked for nothing
        for place in places:
            params = {name: _plain(seen.trials[place].settings[name]) for name in spaces}
            value = seen.values[place]
            study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
        return get_param_importances(study, evaluator=MeanDecreaseImpurityImportanceEvaluator(seed=0))
    finally:
        optuna.logging.set_verbosity(before)


def _distributions(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    spaces: dict[str, BaseDistribution] = {}
    for name in sweep.settings:
        if not all(name in trial.settings for trial in trials):
            continue
        values = [_plain(trial.settings[name]) for trial in trials]
        if len(set(values)) < 2:
            continue
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if not numbers:
            spaces[name] = CategoricalDistribution(sorted(set(values), key=repr))
        elif all(isinstance(value, int) for value in values):
            spaces[name] = IntDistribution(min(values), max(values))
        else:
            spaces[name] = FloatDistribution(min(values), max(values))
    return spaces


def _plain(value: Any) -> Any:
    """A value that Optuna takes."""
    return value if isinstance(value, bool | int | float | str) else repr(value)
