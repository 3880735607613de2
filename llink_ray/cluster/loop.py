"""The steps of a stage on one worker: figures, checkpoints, progress, and the end before the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from llink_ray.cluster import final_checkpoint as fresh
from llink_ray.cluster.progress import STAGES
from llink_ray.cluster.run_directory import RunDir
from llink_ray.progress import PrintLine, Progress, track
from llink_ray.settings import CheckpointSettings
from llink_ray.training import history
from llink_ray.training.collective import broadcast_from_first, world
from llink_ray.training.stage_a import StageA
from llink_ray.training.stage_b import StageB

Look = Callable[[], dict[str, float]]
Report = Callable[[dict[str, Any]], None]


class TrainingLoop:
    """Carries out stages; the first worker keeps the history and says how far it is."""

    def __init__(self, run: RunDir, settings: CheckpointSettings, log: PrintLine) -> None:
        self._run, self._settings, self._log = run, settings, log
        self._first = world()[0] == 0

    def go(
        self, name: str, stage: StageA | StageB, steps: int, look_every: int, evaluate: Look, report: Report
    ) -> None:
        """Advance a stage to its end; ``evaluate`` gives figures, ``report`` takes a checkpoint."""
        if self._first:
            self._run.stepping.touch()
        with track(STAGES[name], "steps", steps) as progress:
            progress.resume_at(stage.step)
            while not stage.done:
                self._step(name, stage, steps, look_every, evaluate, report, progress)
        if self._first:
            self._run.stepping.unlink(missing_ok=True)

    def _step(
        self,
        name: str,
        stage: StageA | StageB,
        steps: int,
        look_every: int,
        evaluate: Look,
        report: Report,
        progress: Progress,
    ) -> None:
        record: dict[str, Any] = {"stage": name, **stage.advance(), "step": stage.step}
        progress.update(stage.step, note=f"loss {record['loss']:.3f}")
        looked = stage.step % look_every == 0 or stage.step == steps
        if looked:
            record |= evaluate()
            self._tell_of(record, steps)
        last = stage.done  # a look may have been the last
        if self._first and (looked or stage.step % self._settings.log_every == 0 or stage.step == 1):
            history.append(self._run.history, record)
        stopped = not last and self._stopped()
        if stage.step % self._settings.every_steps == 0 or last or stopped:
            report(record)
        if stopped:
            if self._first:
                fresh.answer(self._run, {"stage": name, "step": stage.step})
            fresh.wait_until_killed()

    def _tell_of(self, record: dict[str, Any], steps: int) -> None:
        looks = {k.split("/")[1]: v for k, v in record.items() if k.startswith("validation/")}
        if self._first and looks:
            seen = "  ".join(f"{name} {value:.3f}" for name, value in looks.items())
            place = f"{STAGES[record['stage']]}  {record['step']}/{steps}"
            self._log(f"{place}  loss {record['loss']:.3f}  held-out {seen}")

    def _stopped(self) -> bool:
        """Whether the run is to end here; all workers agree, so that they checkpoint the same step."""
        told = torch.tensor([float(self._first and self._run.stop.exists())])
        broadcast_from_first([told])
        return bool(told.item())
