"""What each trial of a sweep runs, in a process that Ray Tune started for it."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llink_ray.cluster.run_directory import RunDir
from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure
from llink_ray.sweeps.space import tree


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep are told; plain data, put in Ray's object store once."""

    folder: str
    bases: Mapping[str, Mapping[str, Any]]
    """Settings that the searched ones are laid over, by language."""
    languages: Mapping[str, tuple[str, ...]]
    """Languages of each study."""
    looks: int
    """Evaluations in each stage."""
    stage_b: bool
    """Whether trials need more than Stage A."""
    environment: Mapping[str, str]

    def settings(self, language: str, config: Mapping[str, Any]) -> Settings:
        """A trial's settings in one language.

        Raises:
            LlinkError: they cannot go together.
        """
        settings = configure.resolve(self.bases[language], tree(config))
        settings = _with_steps(settings, RunDir(self.world(language, settings)))
        every = {
            f"{stage}.evaluate_every": -(-getattr(settings, stage).steps // self.looks)
            for stage in ("stage_a", "stage_b")
        }
        return configure.resolve(settings.model_dump(mode="json"), tree(every))

    def world(self, language: str, settings: Settings) -> Path:
        """Run directory whose pairs and features a trial reads."""
        return Path(self.folder) / "worlds" / world_name(language, settings)


def _with_steps(settings: Settings, world: RunDir) -> Settings:
    """Passes over the corpus as steps: the looks of all trials are counted in steps."""
    if settings.stage_a.passes is None or not world.record.exists():
        return settings
    pairs = world.read_json(world.record)["corpus"]["train"]
    stage = settings.stage_a
    planned = {
        "passes": None,
        "steps": max(1, stage.planned_steps(pairs)),
        "warmup_steps": stage.planned_warmup(pairs),
        "patience": 0,
    }
    return settings.model_copy(update={"stage_a": stage.model_copy(update=planned)})


def world_name(language: str, settings: Settings) -> str:
    """One for each language and pair of frozen models."""
    import hashlib
    import json

    frozen = [part.model_dump(mode="json") for part in (settings.encoder, settings.decoder)]
    return f"{language}-{hashlib.sha256(json.dumps(frozen).encode()).hexdigest()[:8]}"


def run_trial(config: dict[str, Any], told: TrialContext) -> None:
    """The trainable: reports at every evaluation; what goes wrong is a report too, so that the sweep goes on.

    A report holds ``step``, ``seconds``, and ``figures`` by language; a last one may hold ``cause``.
    """
    from ray import tune

    os.environ.update(told.environment)
    started = time.monotonic()
    study, number = config["study"], config["number"]
    name = f"{study}-{number:04d}"
    searched = {key: value for key, value in config.items() if key not in ("study", "number")}
    try:
        by_language = {code: told.settings(code, searched) for code in told.languages[study]}
        if told.stage_b:
            _both_stages(told, name, by_language, started)
        else:
            _stage_a(told, by_language, started)
    except Exception as error:
        folder = Path(told.folder) / "errors"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.txt").write_text(traceback.format_exc(), encoding="utf-8")
        tune.report({"cause": cause_of(error), "seconds": time.monotonic() - started})


def _stage_a(told: TrialContext, by_language: Mapping[str, Settings], started: float) -> None:
    import torch

    from llink_ray.cluster.sweep_stage_a import Alignment

    first = next(iter(by_language.values()))
    torch.set_num_threads(first.cluster.threads or max(1, int(first.cluster.cpus_per_worker)))
    device = "cuda" if first.cluster.gpus_per_worker else "cpu"
    clocks: dict[str, Clock] = {}
    running: dict[str, Alignment] = {}
    for code, settings in by_language.items():
        clocks[code] = Clock(started if not clocks else time.monotonic())
        running[code] = Alignment(told.world(code, settings), settings, device)
        clocks[code].lap("set-up")
    steps, every = first.stage_a.steps, first.stage_a.evaluate_every
    for step in range(1, steps + 1):
        for code, alignment in running.items():
            clocks[code].start()
            alignment.advance()
            clocks[code].lap("steps")
        if step % every == 0 or step == steps:
            figures = {}
            for code, alignment in running.items():
                clocks[code].start()
                figures[code] = alignment.look()
                clocks[code].lap("looks")
            times = {code: clock.laps for code, clock in clocks.items()}
            _tell(step, started, figures, times, step == steps)


class Clock:
    """Where the time goes."""

    def __init__(self, since: float) -> None:
        self.laps: dict[str, float] = {}
        self._since = since

    def start(self) -> None:
        """From now on."""
        self._since = time.monotonic()

    def lap(self, name: str) -> None:
        """What it was for."""
        self.laps[name] = self.laps.get(name, 0.0) + time.monotonic() - self._since


def _both_stages(told: TrialContext, name: str, by_language: Mapping[str, Settings], started: float) -> None:
    from llink_ray.cluster.sweep_fit import run_both_stages

    for code, settings in by_language.items():
        steps = settings.stage_a.steps * settings.stage_a.enabled + settings.stage_b.steps

        def tell(step: int, figures: dict[str, float], code: str = code, steps: int = steps) -> None:
            _tell(step, started, {code: figures}, {}, step == steps)

        path = Path(told.folder) / "trials" / f"{name}-{code}"
        run_both_stages(path, told.world(code, settings), settings, tell)


def _tell(
    step: int,
    started: float,
    figures: Mapping[str, Mapping[str, float]],
    times: Mapping[str, Mapping[str, float]],
    last: bool,
) -> None:
    from ray import tune
    from ray.tune.result import TIMESTEPS_TOTAL  # what other loggers draw over

    seconds = time.monotonic() - started
    told = {"step": step, "seconds": seconds, "figures": figures, "times": times, "last": last}
    tune.report({**told, TIMESTEPS_TOTAL: step})


def cause_of(error: BaseException) -> str:
    """A trial's failure in one line; its own sentence where it has one."""
    if isinstance(error, LlinkError):
        return str(error)
    said = next(iter(str(error).strip().splitlines()), "")
    import torch

    # On the CPU torch has no type for it: there its allocator's own words are all there is.
    plain = type(error) is RuntimeError and "DefaultCPUAllocator: " in said
    short = plain or isinstance(error, MemoryError | torch.OutOfMemoryError)
    return f"{'out of memory: ' if short else ''}{type(error).__name__}{': ' * bool(said)}{said}"
