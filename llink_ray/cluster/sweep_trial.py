"""What each trial of a sweep runs, in a process that Ray Tune started for it."""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llink_ray.cluster.run_directory import RunDir
from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure
from llink_ray.sweeps.config import SweepConfig
from llink_ray.sweeps.space import nested
from llink_ray.sweeps.trials import TIME, Trial

SHARED_DATA = "shared_data.json"
"""What Ray Train's workers are told, in each run directory whose pairs and features trials share."""


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep are told; plain data, put in Ray's object store once."""

    folder: str
    config: SweepConfig
    environment: Mapping[str, str]

    def settings(self, language: str, config: Mapping[str, Any]) -> Settings:
        """A trial's settings in one language.

        Raises:
            LlinkError: they cannot go together.
        """
        settings = configure.resolve(self.config.base_settings[language], nested(config))
        settings = _in_steps(settings, RunDir(self.data_folder(language, settings)))
        every = {
            f"{stage}.evaluate_every": -(-getattr(settings, stage).steps // self.config.evaluations)
            for stage in ("stage_a", "stage_b")
        }
        return configure.resolve(settings.model_dump(mode="json"), nested(every))

    def check(self, trial: Trial) -> None:
        """Refuse settings that cannot go together.

        Raises:
            LlinkError: names them.
        """
        for language in self.config.languages_of(trial.study):
            self.settings(language, trial.config)

    def data_folder(self, language: str, settings: Settings) -> Path:
        """Run directory whose pairs and features a trial reads: one a language and pair of frozen models."""
        frozen = [part.model_dump(mode="json") for part in (settings.encoder, settings.decoder)]
        digest = hashlib.sha256(json.dumps(frozen).encode()).hexdigest()[:8]
        return Path(self.folder) / "data" / f"{language}-{digest}"


def _in_steps(settings: Settings, data: RunDir) -> Settings:
    """Passes over the corpus as steps: the evaluations of all trials are counted in steps."""
    if settings.stage_a.passes is None or not data.record.exists():
        return settings
    pairs = data.read_json(data.record)["corpus"]["train"]
    stage = settings.stage_a
    planned = {
        "passes": None,
        "steps": max(1, stage.planned_steps(pairs)),
        "warmup_steps": stage.planned_warmup(pairs),
        "patience": 0,
    }
    return settings.model_copy(update={"stage_a": stage.model_copy(update=planned)})


def run_trial(config: dict[str, Any], context: TrialContext) -> None:
    """The trainable: reports at every evaluation; what goes wrong is a report too, so that the sweep goes on.

    A report holds ``step``, ``seconds``, ``last``, and figures named ``language/figure``; or a ``cause``.
    """
    from ray import tune

    os.environ.update(context.environment)
    started = time.monotonic()
    name, study = config["trial"], config["study"]
    searched = {key: value for key, value in config.items() if key not in ("trial", "study")}
    try:
        codes = context.config.languages_of(study)
        settings = {code: context.settings(code, searched) for code in codes}
        if context.config.stage_b:
            _train_both_stages(context, name, settings, started)
        else:
            _train_stage_a(context, settings, started)
    except Exception as error:
        folder = Path(context.folder) / "errors"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.txt").write_text(traceback.format_exc(), encoding="utf-8")
        tune.report({"cause": cause_of(error), "seconds": time.monotonic() - started})


def _train_stage_a(context: TrialContext, settings: Mapping[str, Settings], started: float) -> None:
    """Languages take turns step by step, so that a joint trial can be pruned."""
    import torch

    from llink_ray.cluster.sweep_stage_a import StageATrial

    first = next(iter(settings.values()))
    torch.set_num_threads(first.cluster.threads or max(1, int(first.cluster.cpus_per_worker)))
    device = "cuda" if first.cluster.gpus_per_worker else "cpu"
    times: dict[str, Counter[str]] = {code: Counter() for code in settings}
    running = {}
    for code, one in settings.items():
        with _timed(times[code], "set-up"):
            running[code] = StageATrial(context.data_folder(code, one), one, device)
    steps, every = first.stage_a.steps, first.stage_a.evaluate_every
    for step in range(1, steps + 1):
        for code, trial in running.items():
            with _timed(times[code], "steps"):
                trial.advance()
        if step % every == 0 or step == steps:
            metrics = {}
            for code, trial in running.items():
                with _timed(times[code], "evaluations"):
                    metrics[code] = trial.evaluate()
            metrics = {code: figures | times[code] for code, figures in metrics.items()}
            _report(step, started, metrics, step == steps)


@contextmanager
def _timed(times: Counter[str], name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    times[f"{TIME}{name}"] += time.monotonic() - start  # type: ignore[assignment]


def _train_both_stages(
    context: TrialContext, name: str, settings: Mapping[str, Settings], started: float
) -> None:
    from llink_ray.cluster.sweep_both_stages import train_both_stages

    for code, one in settings.items():
        path = Path(context.folder) / "trials" / f"{name}-{code}"
        steps = one.stage_a.steps * one.stage_a.enabled + one.stage_b.steps
        for step, metrics in train_both_stages(path, context.data_folder(code, one), one):
            _report(step, started, {code: metrics}, step == steps)


def _report(step: int, started: float, metrics: Mapping[str, Mapping[str, float]], last: bool) -> None:
    from ray import tune
    from ray.tune.result import TIMESTEPS_TOTAL  # what other loggers draw over

    flat = {f"{code}/{name}": v for code, figures in metrics.items() for name, v in figures.items()}
    seconds = time.monotonic() - started
    tune.report({"step": step, "seconds": seconds, "last": last, TIMESTEPS_TOTAL: step, **flat})


def cause_of(error: BaseException) -> str:
    """A trial's failure in one line; its own sentence where it has one."""
    if isinstance(error, LlinkError):
        return str(error)
    import torch

    first_line = next(iter(str(error).strip().splitlines()), "")
    # On the CPU torch has no type for it: there its allocator's own words are all there is.
    on_cpu = type(error) is RuntimeError and "DefaultCPUAllocator: " in first_line
    memory = on_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)
    return f"{'out of memory: ' if memory else ''}{type(error).__name__}{': ' * bool(first_line)}{first_line}"
