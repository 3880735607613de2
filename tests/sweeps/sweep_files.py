"""Sweeps as they lie on the disk, made of a formula instead of training."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llink_ray.sweeps.config import SweepConfig
from llink_ray.sweeps.objective import parse_objectives
from llink_ray.sweeps.report.analysis import LanguageResults
from llink_ray.sweeps.search import read_search
from llink_ray.sweeps.space import SearchSpace, choice, integer, real
from llink_ray.sweeps.trials import FILE, TrialLog

SPACE = SearchSpace(
    "joint",
    {
        "slots.count": choice(1, 2, 4, 8, 16, 32, why="From one vector to a long prompt."),
        "slots.variant": choice("mean", "resampler", why="With and without token states."),
        "projector.hidden": integer(64, 1024, log=True, why="Width."),
        "projector.dropout": real(0.0, 0.4, why="Few pairs overfit."),
        "stage_a.learning_rate": real(1e-4, 1e-2, log=True, why="Peak."),
        "stage_a.temperature_end": real(0.02, 0.2, log=True, why="Sharpness."),
        "stage_b.lora_learning_rate": real(2e-4, 1e-2, log=True, why="Peak."),
    },
)


@dataclass
class Tried:
    """One trial: reports by language, each a step and figures."""

    config: Mapping[str, Any]
    reports: Mapping[str, Sequence[tuple[int, Mapping[str, float]]]]
    state: str = "finished"
    cause: str | None = None
    study: str = "bo"


def tried(
    score: float | None,
    config: Mapping[str, Any],
    language: str = "bo",
    state: str = "finished",
    step: int = 100,
    **more: float,
) -> Tried:
    """A trial of one language with one report; of none where ``score`` is None."""
    figures = {} if score is None else {"retrieval.r1": score}
    reports = [(step, figures | more)] if figures | more else []
    return Tried(config, {language: reports}, state, "no memory" if state == "failed" else None, language)


def write(
    directory: Path,
    rows: Sequence[Tried],
    *languages: str,
    objectives: str = "retrieval.r1",
    space: SearchSpace | None = None,
    **changed: Any,
) -> Path:
    """``sweep.json`` and ``trials.jsonl``; without a space, one with the values that the trials have."""
    keys = dict.fromkeys(key for trial in rows for key in trial.config)
    values = {key: list(dict.fromkeys(t.config[key] for t in rows)) for key in keys}
    fields: dict[str, Any] = {"joint": False, "trials": len(rows), "algorithm": "tpe", "seed": 7}
    config = SweepConfig(
        space=space or SearchSpace("own", {key: choice(*v, why="A test.") for key, v in values.items()}),
        languages=languages or ("bo",),
        objectives=parse_objectives(objectives),
        **(fields | changed),
        prune=True,
        window=1,
    )
    config.write(directory)
    log = TrialLog(directory / FILE, config.studies, [o.direction for o in config.objectives])
    for one in rows:
        trial = log.begin(one.study, config.space, one.config)
        for language, reports in one.reports.items():
            for number, (step, figures) in enumerate(reports, start=1):
                log.report(trial, language, {"step": step, "seconds": 10.0 * number, **figures})
        if one.state != "running":
            finished = [0.0] * len(config.objectives) if one.state == "finished" else None
            log.end(trial, one.state, finished, one.cause)
    return directory


def results(directory: Path) -> list[LanguageResults]:
    """What its report is made of."""
    search = read_search(directory)
    return [LanguageResults(search, code) for code in search.config.languages]


def _drawn(draw: random.Random) -> dict[str, Any]:
    """Settings out of SPACE."""
    config: dict[str, Any] = {}
    for key, parameter in SPACE.parameters.items():
        distribution: Any = parameter.distribution
        if hasattr(distribution, "choices"):
            config[key] = draw.choice(distribution.choices)
        elif distribution.log:
            config[key] = math.exp(draw.uniform(math.log(distribution.low), math.log(distribution.high)))
        else:
            config[key] = draw.uniform(distribution.low, distribution.high)
    config["projector.hidden"] = round(config["projector.hidden"])
    return config


def _figures(config: Mapping[str, Any], shift: float, share: float, noise: float) -> dict[str, float]:
    """What training would come to after a share of its steps: the learning rate counts, slots help answers.

    ``shift`` moves the best learning rate (in powers of ten), so that languages differ.
    """
    off = math.log10(config["stage_a.learning_rate"]) + 2.9 + shift
    heat = math.log10(config["stage_a.temperature_end"]) + 1.2
    r1 = (0.93 - 0.22 * off**2 - 0.06 * heat**2 - 0.1 * config["projector.dropout"] ** 2 + noise) * share**0.3
    count = config["slots.count"]
    resampler = 0.05 if config["slots.variant"] == "resampler" else 0.0
    exact = (r1 + resampler) * (1 - math.exp(-0.55 * count**0.8))
    return {
        "retrieval.r1": max(0.0, r1),
        "answers.exact": min(1.0, max(0.0, exact)),
        "numbers.exact": min(1.0, max(0.0, 0.6 * exact + 0.35 + noise)),
        "prompt_tokens": 14 + 1.9 * count + shift * 4,
        "slots": float(count),
    }


def searched(*languages: str, trials: int = 32, same: int | None = None) -> list[Tried]:
    """A pruned sweep: trial i has the same settings in every language for the first ``same`` of them."""
    made: list[Tried] = []
    for place, language in enumerate(languages):
        seen: list[float] = []
        for number in range(trials):
            alike = same is None or number < same
            config = _drawn(random.Random(f"0-{number}-{'' if alike else language}"))
            noise = random.Random(f"0-{number}-{language}").gauss(0, 0.012)
            if number % 13 == 11:
                cause = "the loss came to no number at step 25: lower stage_a.learning_rate"
                made.append(Tried(config, {}, "failed", cause, language))
                continue
            reports = [(s, _figures(config, 0.25 * place, s / 200, noise)) for s in (50, 100, 150, 200)]
            seen.append(reports[0][1]["retrieval.r1"])
            pruned = len(seen) >= 3 and seen[-1] < sorted(seen)[-max(1, len(seen) // 2)]
            state, kept = ("pruned", reports[:1]) if pruned else ("finished", reports)
            made.append(Tried(config, {language: kept}, state, None, language))
    return made
