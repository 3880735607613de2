"""The steps of a stage on one worker: figures, checkpoints, progress, and the checkpoint of a stopped run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import torch

from llink_ray.cluster.final_checkpoint import TrainingPosition, acknowledge_stop, wait_until_killed
from llink_ray.cluster.memory import trim_memory
from llink_ray.cluster.progress import STAGES
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.trackers import Trackers
from llink_ray.progress import PrintLine, track
from llink_ray.settings import Settings
from llink_ray.training import history
from llink_ray.training.collective import broadcast_from_first, world
from llink_ray.training.stage_a import StageA
from llink_ray.training.stage_b import StageB


class TrainingLoop:
    """Runs stages to their end; the first worker writes the history and the log.

    Args:
        run: of all workers.
        settings: of the run.
        say: writes a line into the run's log.
        tracked: figures also go to TensorBoard, W&B and MLflow (:class:`Trackers`).
    """

    def __init__(self, run: RunDir, settings: Settings, say: PrintLine, tracked: bool = True) -> None:
        self._run, self._settings, self._say = run, settings, say
        self._is_first = world()[0] == 0
        self._tracked = tracked and self._is_first
        self._trackers: Trackers | None = None

    def run(
        self,
        name: str,
        stage: StageA | StageB,
        steps: int,
        evaluate_every: int,
        evaluate: Callable[[], dict[str, float]],
        checkpoint: Callable[[dict[str, Any]], None],
    ) -> None:
        """Advance stage ``name`` (``a`` or ``b``) to its end, in all workers together.

        Args:
            evaluate: figures on held-out pairs; called every ``evaluate_every`` steps and after the last.
            checkpoint: saves the stage, given the last figures.
        """
        settings = self._settings.checkpoint
        if self._is_first:
            self._run.stepping.touch()
        if self._tracked and self._trackers is None:
            self._trackers = Trackers(self._run, self._settings, self._say)
        note = ""
        with closing(stage.batches), track(STAGES[name], "steps", steps) as progress:
            progress.resume_at(stage.step)
            while not stage.done:
                with stage.throughput.measured():
                    metrics = stage.advance()
                    step = stage.step
                    evaluated = step % evaluate_every == 0 or step == steps
                    logged = evaluated or step % settings.log_every == 0 or step == 1
                    due = logged or step % settings.every_steps == 0
                    figures = stage.reduce(metrics) if due else {}
                record: dict[str, Any] = {"stage": name, **figures, "step": step}
                note = f"loss {record['loss']:.3f}" if due else note
                progress.update(step, note=note)
                if logged:
                    trim_memory()  # each step has texts of other lengths, and the gaps grow for ever
                    record |= stage.throughput.read(stage.device)
                if evaluated:
                    record |= evaluate()
                if logged and self._is_first:
                    self._log(record, steps)
                # Only an evaluation can end a stage early.
                stopped = not stage.done and self._is_stopped()
                if stopped or stage.done or step % settings.every_steps == 0:
                    checkpoint(record if due else {**record, **stage.reduce(metrics)})
                if stopped:
                    if self._is_first:
                        acknowledge_stop(self._run, TrainingPosition(name, step))
                    wait_until_killed()
        if self._is_first:
            self._run.stepping.unlink(missing_ok=True)

    def close(self) -> None:
        """End what :class:`Trackers` began."""
        if self._trackers is not None:
            self._trackers.close()

    def _log(self, record: dict[str, Any], steps: int) -> None:
        history.append(self._run.history, record)
        if self._trackers is not None:
            self._trackers.log(record)
        evaluated = {k.split("/")[1]: v for k, v in record.items() if k.startswith("validation/")}
        if evaluated:
            seen = "  ".join(f"{name} {value:.3f}" for name, value in evaluated.items())
            position = f"{STAGES[record['stage']]}  {record['step']}/{steps}"
            self._say(f"{position}  loss {record['loss']:.3f}  held-out {seen}")

    def _is_stopped(self) -> bool:
        """Whether the run is to end here; all workers agree, so that they checkpoint the same step."""
        requested = torch.tensor([float(self._is_first and self._run.stop.exists())])
        broadcast_from_first([requested])
        return bool(requested.item())
