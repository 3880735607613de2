"""Ray Train checkpoints: by step, trainable state only, the newest few kept by Ray."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from llink_ray.cluster import engine as engines
from llink_ray.models.projector import Projector
from llink_ray.training.collective import world
from llink_ray.training.stage_a import StageA

_PLACE, _STAGE_A, _PROJECTOR = "place.json", "stage_a.safetensors", "projector.safetensors"


@dataclass(frozen=True)
class Place:
    """Where a checkpoint was taken: ``step`` steps of ``stage`` are done."""

    stage: str
    step: int


def report_stage_a(stage: StageA, metrics: dict[str, Any]) -> None:
    """Checkpoint Stage A: all workers hold the same state but for their generators."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = {k: v.detach().contiguous().clone() for k, v in stage.state().items()}
        del state["rng"]  # each worker's own
        _save_generators(folder)
        if world()[0] == 0:
            save_file(state, folder / _STAGE_A)
            _mark(folder, Place("a", stage.step))
        _report(metrics, folder)


def restore_stage_a(folder: Path, stage: StageA) -> None:
    """Go on from a checkpoint of Stage A."""
    stage.restore({**load_file(folder / _STAGE_A), "rng": torch.get_rng_state()})
    _restore_generators(folder)


def report_stage_b(engine: Any, projector: Projector, step: int, metrics: dict[str, Any]) -> None:
    """Checkpoint Stage B: DeepSpeed's parts of all workers, and the frozen projector beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engines.save(engine, folder, step)
        _save_generators(folder)
        with engines.whole(engine) as model:
            if world()[0] == 0:
                save_projector(folder, model.projector)
                _mark(folder, Place("b", step))
        _report(metrics, folder)


def restore_stage_b(folder: Path, engine: Any) -> int:
    """Go on from a checkpoint of Stage B; returns the step it was taken after."""
    step = engines.restore(engine, folder)
    _restore_generators(folder)
    return step


def _save_generators(folder: Path) -> None:
    """Dropout goes on as it would have: the state of this worker's generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    save_file(states, folder / f"rng-{world()[0]}.safetensors")


def _restore_generators(folder: Path) -> None:
    states = load_file(folder / f"rng-{world()[0]}.safetensors")
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def save_projector(folder: Path, projector: Projector) -> None:
    """Write the projector alone."""
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in projector.state_dict().items()}
    save_file(tensors, folder / _PROJECTOR)


def restore_projector(folder: Path, projector: Projector) -> None:
    """Read it back."""
    projector.load_state_dict(load_file(folder / _PROJECTOR))


def place_of(folder: Path) -> Place:
    """Where the checkpoint in ``folder`` was taken."""
    return Place(**json.loads((folder / _PLACE).read_text(encoding="utf-8")))


def _mark(folder: Path, place: Place) -> None:
    (folder / _PLACE).write_text(json.dumps({"stage": place.stage, "step": place.step}), encoding="utf-8")


def _report(metrics: dict[str, Any], folder: Path) -> None:
    import ray.train

    torch.distributed.barrier()
    ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(str(folder)))
