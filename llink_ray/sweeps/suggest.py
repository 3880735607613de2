"""The next setting to try, by Optuna: a function of the seed, its number, and what is known."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from llink_ray.errors import LlinkError
from llink_ray.sweeps.space import Choice, Distribution, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

ALGORITHMS = ("tpe", "random", "grid")
_AT_RANDOM = 8
"""Trials that TPE draws at random before it learns from them."""


@dataclass(frozen=True)
class Known:
    """What a suggestion may know of an earlier trial."""

    config: dict[str, Any]
    outcome: Literal["finished", "pruned", "failed", "running"]
    scores: tuple[float, ...] = ()
    """One for each objective, larger is better; none where it failed or still runs."""
    look: int = 0
    """Evaluations it came to."""


def suggest(
    space: Space, algorithm: str, seed: int, number: int, known: Sequence[Known], objectives: int = 1
) -> dict[str, Any]:
    """Values for every setting of the space.

    Nothing else is remembered from one suggestion to the next, so a resumed sweep suggests what the unbroken
    one would have.
    """
    if algorithm == "grid":
        return grid(space)[number]
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    drawn = int.from_bytes(digest[:4], "little")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls what we use experimental
        sampler: optuna.samplers.BaseSampler
        if algorithm == "random":
            sampler, known = optuna.samplers.RandomSampler(seed=drawn), ()
        else:
            sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=_AT_RANDOM, multivariate=True)
        study = optuna.create_study(sampler=sampler, directions=["maximize"] * objectives)
        distributions = {key: _optuna(d) for key, d in space.ranges.items()}
        for one in known:
            study.add_trial(_frozen(one, distributions))
        return dict(study.ask(distributions).params)


def grid(space: Space) -> list[dict[str, Any]]:
    """Every combination, the last setting fastest.

    Raises:
        LlinkError: a setting that can have any value between two.
    """
    values = {}
    for key, distribution in space.ranges.items():
        if isinstance(distribution, Choice):
            values[key] = list(distribution.values)
        elif distribution.step:
            count = int((distribution.high - distribution.low) / distribution.step + 1e-9) + 1
            kind = int if distribution.whole else float
            values[key] = [kind(distribution.low + i * distribution.step) for i in range(count)]
        else:
            raise LlinkError(
                f"--algorithm=grid: {key} is {distribution}, any number of values: give a step, or a choice"
            )
    return [dict(zip(values, one, strict=True)) for one in itertools.product(*values.values())]


def _optuna(distribution: Distribution) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.values)
    low, high, log, step = distribution.low, distribution.high, distribution.log, distribution.step
    if distribution.whole:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def _frozen(known: Known, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    given: dict[str, Any] = {"params": known.config, "distributions": distributions}
    if known.outcome == "running":
        return create_trial(state=TrialState.RUNNING, **given)
    if known.outcome == "failed" or not known.scores:
        return create_trial(state=TrialState.FAIL, **given)
    if known.outcome == "pruned":
        looked = {known.look: known.scores[0]}
        return create_trial(state=TrialState.PRUNED, intermediate_values=looked, **given)
    return create_trial(state=TrialState.COMPLETE, values=list(known.scores), **given)
