"""The next setting to try, by Optuna: a function of the seed, its number, and the trials that are known."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from llink_ray.sweeps.space import SearchSpace
from llink_ray.sweeps.trials import Trial

ALGORITHMS = ("tpe", "random", "grid")
_RANDOM_TRIALS = 8
"""Trials that TPE draws at random before it learns from them."""


def suggest(
    space: SearchSpace,
    algorithm: str,
    seed: int,
    number: int,
    known: Sequence[FrozenTrial],
    objectives: int = 1,
) -> dict[str, Any]:
    """Values for every setting of the space.

    Nothing else is remembered from one suggestion to the next, so a resumed sweep suggests what the unbroken
    one would have.
    """
    if algorithm == "grid":
        return space.grid()[number]
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "little")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls multivariate TPE experimental
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=drawn)
        if algorithm == "tpe":
            sampler = optuna.samplers.TPESampler(
                seed=drawn, n_startup_trials=_RANDOM_TRIALS, multivariate=True
            )
        study = optuna.create_study(sampler=sampler, directions=["maximize"] * objectives)
        study.add_trials(known)
        return dict(study.ask(space.distributions).params)


def known_trial(
    trial: Trial, scores: Sequence[float] | None, evaluations: int = 0, *, running: bool = False
) -> FrozenTrial:
    """A trial as a sampler may know it.

    Args:
        trial: an earlier one.
        scores: one for each objective, larger is better; None where there are none.
        evaluations: that it came to.
        running: whatever it has come to since.
    """
    known: Mapping[str, Any] = {"params": trial.config, "distributions": trial.frozen.distributions}
    if running or scores is None:
        return create_trial(state=TrialState.RUNNING if running else TrialState.FAIL, **known)
    if trial.state == "pruned":
        return create_trial(state=TrialState.PRUNED, intermediate_values={evaluations: scores[0]}, **known)
    return create_trial(values=list(scores), **known)
