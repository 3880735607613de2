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
        folder, (rank, _) = Path(name), world()
        state = {k: v.detach().contiguous().clone() for k, v in stage.state().items()}
        save_file({"rng": state.pop("rng")}, folder / f"rng-{rank}.safetensors")
        if rank == 0:
            save_file(state, folder / _STAGE_A)
            _mark(folder, Place("a", stage.step))
        _report(metrics, folder)


def restore_stage_a(folder: Path, stage: StageA) -> None:
    """Go on from a checkpoint of Stage A."""
    rng = load_file(folder / f"rng-{world()[0]}.safetensors")["rng"]
    stage.restore({**load_file(folder / _STAGE_A), "rng": rng})


def report_stage_b(engine: Any, projector: Projector, step: int, metrics: dict[str, Any]) -> None:
    """Checkpoint Stage B: DeepSpeed's parts of all workers, and the frozen projector beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engines.save(engine, folder, step)
        with engines.whole(engine) as model:
            if world()[0] == 0:
                save_projector(folder, model.projector)
                _mark(folder, Place("b", step))
        _report(metrics, folder)


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
