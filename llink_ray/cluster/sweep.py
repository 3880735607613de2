"""The sweep job between the command line and the search: choose, check, begin or go on."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llink_ray.cluster.checks import check_output
from llink_ray.cluster.final_checkpoint import checkpoint_when_stopped
from llink_ray.cluster.job import Request, default_output, new_task, requested_languages
from llink_ray.cluster.local_ray import connect
from llink_ray.cluster.sweep_run import capacity, run_search
from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure
from llink_ray.stopping import resumable
from llink_ray.sweeps import config as sweep_config
from llink_ray.sweeps import space as spaces
from llink_ray.sweeps import trials
from llink_ray.sweeps.config import SweepConfig, read_config
from llink_ray.sweeps.objective import parse_objectives
from llink_ray.sweeps.sampler import ALGORITHMS
from llink_ray.text.languages import find

_STAGE_A_SECTIONS = ("encoder.", "projector.", "stage_a.")
_TRIALS = 16
_ANSWERS = 128
"""Validation questions that a trial answers at each evaluation, where settings name no number."""


@dataclass(frozen=True)
class SweepRequest:
    """What the command line asked for."""

    training: Request
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
    max_concurrent: int | None = None
    evaluations: int = 10
    """In each stage."""
    resume: str | None = None


def sweep(request: SweepRequest) -> dict[str, Any]:
    """Carry out, or go on with, a sweep. Returns the JSON document that ends the job.

    Raises:
        LlinkError: what was asked is wrong, found before the first trial.
        JobFailed: it could not be done.
        KeyboardInterrupt: stopped by the person; its text says how to go on.
    """
    started = time.monotonic()
    folder = Path(request.resume) if request.resume else None
    config = _resumed(request, folder) if folder else _new_config(request)
    output_option = request.training.output
    output = folder.parent if folder else Path(output_option) if output_option else default_output()
    check_output(output)
    with connect(request.training.address, output / "tmp"):
        if folder is None:
            config = _with_base_settings(request, config, output)
            folder = _new_folder(output, config.space.name)
        runs = folder / "trials"
        try:
            with (
                resumable(lambda: _how_to_resume(folder)),
                checkpoint_when_stopped(lambda: runs.glob("*"), lambda _: None),
            ):
                return run_search(folder, config, started)
        except LlinkError:
            if not request.resume and not (folder / trials.FILE).exists():  # nothing to go on with
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _how_to_resume(folder: Path) -> str:
    begun = (folder / sweep_config.FILE).exists()
    return f"go on with: python jobs/tune.py --resume {folder}" if begun else ""


def _new_config(request: SweepRequest) -> SweepConfig:
    """What can be known, and found wrong, without Ray."""
    languages = requested_languages(request.training, None)
    space = spaces.load(request.space or "projector", request.spaces)
    base = request.training
    layers = configure.layers(base.preset or "tiny", base.settings_file, base.assignments)
    if configure.resolve(*layers).corpus.path and len(languages) > 1:
        raise LlinkError(
            f"a corpus goes with one language, but --lang names {len(languages)}: run one job each"
        )
    space.check(*layers)
    for name, value, known in (
        ("algorithm", request.algorithm, ALGORITHMS),
        ("scheduler", request.scheduler or "none", ("asha", "none")),
    ):
        if value not in known:
            raise LlinkError(f"there is no --{name}={value}: choose {' or '.join(known)}")
    stage_a_only = all(key.startswith(_STAGE_A_SECTIONS) for key in space.parameters)
    objectives = parse_objectives(request.objective or ("retrieval.r1" if stage_a_only else "answers.exact"))
    stage_b = not stage_a_only or any(objective.needs_stage_b for objective in objectives)
    refusal = ""
    if len(objectives) > 1:
        refusal = "prunes trials by one figure, which would thin out the others' best"
    elif request.joint and stage_b:
        refusal = "cannot compare --joint trials that train Stage B, whose languages take turns"
    if refusal and request.scheduler == "asha":
        raise LlinkError(f"--scheduler=asha {refusal}: leave it out")
    return SweepConfig(
        space=space,
        languages=tuple(language.code for language in languages),
        joint=request.joint,
        trials=_trial_count(request.trials, request.algorithm, space),
        objectives=objectives,
        algorithm=request.algorithm,
        seed=0,
        prune=not refusal and request.scheduler != "none",
        window=1,
        evaluations=request.evaluations,
        stage_b=stage_b,
        max_concurrent=request.max_concurrent,
    )


def _trial_count(wanted: int | None, algorithm: str, space: spaces.SearchSpace) -> int:
    if algorithm != "grid":
        return wanted or _TRIALS
    return min(wanted or len(space.grid()), len(space.grid()))


def _with_base_settings(request: SweepRequest, config: SweepConfig, output: Path) -> SweepConfig:
    """What depends on the cluster: models, and how many trials run at a time."""
    tasks = [new_task(request.training, find(code), None, output, alone=False) for code in config.languages]
    settings = [_comparable(task.settings, config.stage_b) for task in tasks]
    at_a_time = min(capacity(settings[0], config.stage_b), request.max_concurrent or 1_000_000)
    return dataclasses.replace(
        config,
        base_settings={
            code: one.model_dump(mode="json") for code, one in zip(config.languages, settings, strict=True)
        },
        feature_store=tasks[0].store,
        seed=settings[0].seed,
        window=2 * at_a_time if at_a_time > 1 else 1,
    )


def _comparable(settings: Settings, stage_b: bool) -> Settings:
    """Settings with what trials are compared by.

    Threads are written down, so that a later run of the best trial adds up in the same order.
    """
    cluster = settings.cluster
    over: dict[str, Any] = {"cluster.threads": cluster.threads or max(1, int(cluster.cpus_per_worker))}
    if stage_b and not settings.stage_b.validation_answers:
        over["stage_b.validation_answers"] = _ANSWERS
    return configure.resolve(settings.model_dump(mode="json"), spaces.nested(over))


def _new_folder(output: Path, name: str) -> Path:
    stem = f"sweep-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(
        p for i in range(1, 1_000) if not (p := output / (stem if i == 1 else f"{stem}-{i}")).exists()
    )


def _resumed(request: SweepRequest, folder: Path) -> SweepConfig:
    """The configuration of a sweep that is gone on with; only more trials may be asked of it."""
    base = request.training
    if (
        request.space
        or base.languages
        or base.preset
        or base.settings_file
        or base.assignments
        or request.objective
    ):
        raise LlinkError(
            f"sweep {folder} has its languages, space and settings: leave them out; --trials may be raised"
        )
    config = read_config(folder)
    if request.trials is None:
        return config
    return dataclasses.replace(config, trials=_trial_count(request.trials, config.algorithm, config.space))
