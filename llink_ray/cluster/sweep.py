"""The sweep job between the command line and the search: choose, check, begin or go on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llink_ray.cluster.checks import check_output
from llink_ray.cluster.final_checkpoint import checkpoint_when_stopped
from llink_ray.cluster.job import Request, default_output, new_task, requested_languages
from llink_ray.cluster.local_ray import connect
from llink_ray.cluster.sweep_search import RECORD, room, search_in
from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure
from llink_ray.stopping import resumable
from llink_ray.sweeps import space as spaces
from llink_ray.sweeps.journal import NAME
from llink_ray.sweeps.objective import objectives
from llink_ray.sweeps.space import from_json
from llink_ray.sweeps.suggest import ALGORITHMS, grid
from llink_ray.text.languages import find

_IN_STAGE_A = ("encoder.", "projector.", "stage_a.")
_TRIALS = 16
_ANSWERS = 128
"""Validation questions that a trial answers at each look, where settings name no number."""


@dataclass(frozen=True)
class Sweep:
    """What the command line asked for."""

    request: Request
    """Languages, the settings that are not searched, where everything goes."""
    space: str | None = None
    spaces: Path = field(default_factory=Path)
    """Folder of the spaces that go by name."""
    trials: int | None = None
    algorithm: str = "tpe"
    scheduler: str | None = None
    """``asha``, ``none``; nothing: the former where there is one objective."""
    objective: str | None = None
    joint: bool = False
    at_a_time: int | None = None
    looks: int = 10
    resume: str | None = None


def sweep(asked: Sweep) -> dict[str, Any]:
    """Carry out, or go on with, a sweep. Returns the JSON document that ends the job.

    Raises:
        LlinkError: what was asked is wrong, found before the first trial.
        JobFailed: it could not be done.
        KeyboardInterrupt: stopped by the person; its text says how to go on.
    """
    started = time.monotonic()
    if asked.resume:
        folder = Path(asked.resume)
        record = _resumed(asked, folder)
        output = folder.parent
    else:
        record = _begun(asked)
        output = Path(asked.request.output) if asked.request.output else default_output()
    check_output(output)
    with connect(asked.request.address, output / "tmp"):
        if not asked.resume:
            record |= _placed(asked, record, output) | {"forwards": 0}
            folder = _fresh(output, record["space"]["name"])
        elif asked.trials is not None:
            most = len(grid(from_json(record["space"]))) if record["algorithm"] == "grid" else asked.trials
            record["trials"] = min(asked.trials, most)
        trials = folder / "trials"
        try:
            with (
                resumable(lambda: _how_to_go_on(folder)),
                checkpoint_when_stopped(lambda: trials.glob("*"), lambda _: None),
            ):
                return search_in(folder, record, started)
        except LlinkError:
            if not asked.resume and not (folder / NAME).exists():  # no trial was begun: nothing to go on with
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _how_to_go_on(folder: Path) -> str:
    return f"go on with: python jobs/tune.py --resume {folder}" if (folder / RECORD).exists() else ""


def _begun(asked: Sweep) -> dict[str, Any]:
    """What can be known, and found wrong, without Ray."""
    languages = requested_languages(asked.request, None)
    space = spaces.load(asked.space or "projector", asked.spaces)
    r = asked.request
    layers = configure.layers(r.preset or "tiny", r.settings_file, r.assignments)
    if configure.resolve(*layers).corpus.path and len(languages) > 1:
        raise LlinkError(
            f"a corpus goes with one language, but --lang names {len(languages)}: run one job each"
        )
    space.check(*layers)
    for name, given, known in (
        ("algorithm", asked.algorithm, ALGORITHMS),
        ("scheduler", asked.scheduler or "none", ("asha", "none")),
    ):
        if given not in known:
            raise LlinkError(f"there is no --{name}={given}: choose {' or '.join(known)}")
    in_stage_a = all(key.startswith(_IN_STAGE_A) for key in space.ranges)
    goals = objectives(asked.objective or ("retrieval.r1" if in_stage_a else "answers.exact"))
    stage_b = not in_stage_a or any(goal.needs_stage_b for goal in goals)
    prune = asked.scheduler or ("asha" if len(goals) == 1 and not (asked.joint and stage_b) else "none")
    if prune == "asha" and len(goals) > 1:
        raise LlinkError(
            "--scheduler=asha gives up trials by one figure, which would thin out the others' best: leave it "
            "out, or name one --objective"
        )
    if prune == "asha" and asked.joint and stage_b:
        raise LlinkError(
            "--scheduler=asha cannot compare --joint trials that train Stage B, whose languages take turns: "
            "leave it out"
        )
    trials = asked.trials or _TRIALS
    if asked.algorithm == "grid":
        trials = min(asked.trials or len(grid(space)), len(grid(space)))
    return {
        "job": "tune",
        "space": space.as_json(),
        "languages": [language.code for language in languages],
        "joint": asked.joint,
        "objectives": [goal.name for goal in goals],
        "modes": ["max" if goal.larger_is_better else "min" for goal in goals],
        "algorithm": asked.algorithm,
        "scheduler": prune,
        "trials": trials,
        "looks": asked.looks,
        "stage_b": stage_b,
    }


def _placed(asked: Sweep, record: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """What depends on the cluster: models, room, how many at a time."""
    tasks = [new_task(asked.request, find(code), None, output, alone=False) for code in record["languages"]]
    settings = [_compared(task.settings, record["stage_b"]) for task in tasks]
    there = room(settings[0], record["stage_b"])
    at_a_time = min(there, asked.at_a_time or there)
    return {
        "bases": {
            code: one.model_dump(mode="json") for code, one in zip(record["languages"], settings, strict=True)
        },
        "store": tasks[0].store,
        "seed": settings[0].seed,
        "window": 2 * at_a_time if at_a_time > 1 else 1,
        "at_a_time": asked.at_a_time,
    }


def _compared(settings: Settings, stage_b: bool) -> Settings:
    """Settings with what trials are compared by.

    Threads are written down, so that a later run of the best trial adds up in the same order.
    """
    cluster = settings.cluster
    over: dict[str, Any] = {"cluster.threads": cluster.threads or max(1, int(cluster.cpus_per_worker))}
    if stage_b and not settings.stage_b.validation_answers:
        over["stage_b.validation_answers"] = _ANSWERS
    return configure.resolve(settings.model_dump(mode="json"), spaces.tree(over))


def _fresh(output: Path, name: str) -> Path:
    stem = f"sweep-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(
        p for i in range(1, 1_000) if not (p := output / (stem if i == 1 else f"{stem}-{i}")).exists()
    )


def _resumed(asked: Sweep, folder: Path) -> dict[str, Any]:
    """The record of a sweep that is gone on with; only more trials may be asked of it."""
    r = asked.request
    if asked.space or r.languages or r.preset or r.settings_file or r.assignments or asked.objective:
        raise LlinkError(
            f"sweep {folder} has its languages, space and settings: leave them out; --trials may be raised"
        )
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise LlinkError(
            f"{folder} is not the directory of a sweep: it has no {RECORD} that can be read"
        ) from None
    return record
