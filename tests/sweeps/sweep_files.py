"""Sweeps as they lie on the disk, made of a formula instead of training."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

RANGES = {
    "slots.count": {
        "kind": "choice",
        "values": [1, 2, 4, 8, 16, 32],
        "why": "From one vector to a long prompt.",
    },
    "slots.variant": {
        "kind": "choice",
        "values": ["mean", "resampler"],
        "why": "With and without token states.",
    },
    "projector.hidden": {"kind": "range", "low": 64, "high": 1024, "log": True, "why": "Width."},
    "projector.dropout": {
        "kind": "range",
        "low": 0.0,
        "high": 0.4,
        "log": False,
        "why": "Few pairs overfit.",
    },
    "stage_a.learning_rate": {"kind": "range", "low": 1e-4, "high": 1e-2, "log": True, "why": "Peak."},
    "stage_a.temperature_end": {"kind": "range", "low": 0.02, "high": 0.2, "log": True, "why": "Sharpness."},
    "stage_b.lora_learning_rate": {"kind": "range", "low": 2e-4, "high": 1e-2, "log": True, "why": "Peak."},
}


def row(
    trial: str,
    figures: Mapping[str, float | None],
    settings: Mapping[str, Any] | None = None,
    *,
    language: str = "bo",
    state: str = "finished",
    step: int = 100,
    seconds: float = 10.0,
    cause: str | None = None,
) -> Row:
    """One report of one trial."""
    return {
        "language": language,
        "trial": trial,
        "state": state,
        "step": step,
        "seconds": seconds,
        "cause": cause,
        **{f"config.{name}": value for name, value in (settings or {}).items()},
        **{f"metric.{name}": value for name, value in figures.items()},
    }


def write(directory: Path, rows: Iterable[Row], **told: Any) -> Path:
    """``sweep.json`` and ``results.parquet`` with a column for all that any row has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sweep.json").write_text(json.dumps(told), encoding="utf-8")
    rows = list(rows)
    names = dict.fromkeys(name for one in rows for name in one)
    table = {name: pa.array([one.get(name) for one in rows]) for name in names}
    if rows:
        pq.write_table(pa.table(table), directory / "results.parquet")
    return directory


def told(
    *languages: str, trials: int = 32, objectives: Sequence[str] = ("retrieval.r1",), **more: Any
) -> Row:
    """What ``sweep.json`` holds."""
    return {
        "languages": list(languages),
        "space": {"name": "joint", "ranges": RANGES},
        "objectives": [
            {"name": name, "mode": "min" if name in ("prompt_tokens", "slots", "seconds") else "max"}
            for name in objectives
        ],
        "algorithm": "tpe",
        "scheduler": "asha",
        "seed": 7,
        "trials": trials,
        "joint": False,
        **more,
    }


def drawn(draw: random.Random) -> dict[str, Any]:
    """Settings out of RANGES."""
    found: dict[str, Any] = {}
    for name, given in RANGES.items():
        if given["kind"] == "choice":
            found[name] = draw.choice(given["values"])
        elif given["log"]:
            found[name] = math.exp(draw.uniform(math.log(given["low"]), math.log(given["high"])))
        else:
            found[name] = draw.uniform(given["low"], given["high"])
    found["projector.hidden"] = round(found["projector.hidden"])
    return found


def figures(settings: Mapping[str, Any], shift: float, share: float, noise: float) -> dict[str, float]:
    """What training would come to after a share of its steps: the learning rate counts, slots help answers.

    ``shift`` moves the best learning rate (in powers of ten), so that languages differ.
    """
    off = math.log10(settings["stage_a.learning_rate"]) + 2.9 + shift
    heat = math.log10(settings["stage_a.temperature_end"]) + 1.2
    r1 = (
        0.93 - 0.22 * off**2 - 0.06 * heat**2 - 0.1 * settings["projector.dropout"] ** 2 + noise
    ) * share**0.3
    count = settings["slots.count"]
    kind = 0.05 if settings["slots.variant"] == "resampler" else 0.0
    exact = (r1 + kind) * (1 - math.exp(-0.55 * count**0.8))
    return {
        "retrieval.r1": max(0.0, r1),
        "answers.exact": min(1.0, max(0.0, exact)),
        "numbers.exact": min(1.0, max(0.0, 0.6 * exact + 0.35 + noise)),
        "prompt_tokens": 14 + 1.9 * count + shift * 4,
        "slots": float(count),
    }


def searched(
    *languages: str, trials: int = 32, seed: int = 0, prune: bool = True, same: int | None = None
) -> list[Row]:
    """A sweep's rows: trial i has the same settings in every language for the first ``same`` of them."""
    rows: list[Row] = []
    for place, language in enumerate(languages):
        seen: list[float] = []
        for number in range(trials):
            alike = same is None or number < same
            draw = random.Random(f"{seed}-{number}-{'' if alike else language}")
            settings = drawn(draw)
            noise = random.Random(f"{seed}-{number}-{language}").gauss(0, 0.012)
            name, begun = f"{language}-{number:04d}", len(rows)
            if number % 13 == 11:
                rows.append(row(name, {}, settings, language=language, state="failed", step=25, seconds=3.1))
                rows[-1]["cause"] = "the loss came to no number at step 25: lower stage_a.learning_rate"
                continue
            state = "finished"
            for step in (50, 100, 150, 200):
                found = figures(settings, 0.25 * place, step / 200, noise)
                rows.append(row(name, found, settings, language=language, step=step, seconds=step * 0.11))
                if step == 50 and prune:
                    seen.append(found["retrieval.r1"])
                    if len(seen) >= 3 and found["retrieval.r1"] < sorted(seen)[-max(1, len(seen) // 2)]:
                        state = "pruned"
                        break
            for one in rows[begun:]:
                one["state"] = state
    return rows
