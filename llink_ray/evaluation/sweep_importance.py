"""Which settings moved the objective: Optuna's importance over a sweep's trials."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.sweep_data import Sweep, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ENOUGH = 12
"""Finished trials. On a made function of six settings, one of which counts, it came first in 10 of 10 tries
with 12 trials, in 8 of 10 with 10."""
RESAMPLED = 20
"""Times that the trials are drawn anew, to see how much the figure depends on which they are."""


@dataclass(frozen=True)
class Importance:
    """A setting's share of what the objective varied by; all settings' add up to 1."""

    share: float
    low: float
    high: float
    """The middle 80 % of the same over trials drawn anew, with repetition."""


def importance(sweep: Sweep, language: str) -> dict[str, Importance]:
    """By setting, the greatest first; empty for too few trials, or where nothing varied.

    Settings that some trials lack, or that never changed, are left out.
    """
    trials = sweep.scored(language, sweep.main.name)
    if len(trials) < ENOUGH or len({trial.score(sweep.main.name) for trial in trials}) < 2:
        return {}
    spaces = _distributions(sweep, trials)
    if len(spaces) < 2:
        return {}
    shares = _shares(sweep, trials, spaces)
    draw = random.Random(0)
    again = [_shares(sweep, draw.choices(trials, k=len(trials)), spaces) for _ in range(RESAMPLED)]
    cut = RESAMPLED // 10
    found = {}
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        spread = sorted(one[name] for one in again)
        found[name] = Importance(share, min(share, spread[cut]), max(share, spread[-1 - cut]))
    return found


def _shares(sweep: Sweep, trials: Sequence[Trial], spaces: dict[str, BaseDistribution]) -> dict[str, float]:
    """By random forest: of Optuna's ways the one that found the right setting with the fewest trials."""
    import optuna
    from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

    sampler = optuna.samplers.RandomSampler(seed=0)  # asked for nothing; the default warns
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for trial in trials:
            params = {name: _plain(trial.settings[name]) for name in spaces}
            value = trial.score(sweep.main.name)
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
