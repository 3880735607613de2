"""Ray Train checkpoints: by step, trainable state only, the newest few kept by Ray."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from llink_ray.cluster import engine as engines
from llink_ray.cluster.final_checkpoint import TrainingPosition
from llink_ray.models.projector import Projector
from llink_ray.training.collective import world
from llink_ray.training.stage_a import StageA

_STAGE_A, _PROJECTOR = "stage_a.safetensors", "projector.safetensors"


def report_stage_a(stage: StageA, metrics: dict[str, Any]) -> None:
    """Checkpoint Stage A: all workers hold the same state except their generators."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = {k: v.detach().contiguous().clone() for k, v in stage.state().items()}
        del state["rng"]  # each worker's own
        _save_generators(folder)
        if world()[0] == 0:
            save_file(state, folder / _STAGE_A)
            TrainingPosition("a", stage.step).write(folder)
        _report(metrics, folder)


def restore_stage_a(folder: Path, stage: StageA) -> None:
    """Continue from a checkpoint of Stage A."""
    stage.restore({**load_file(folder / _STAGE_A), "rng": torch.get_rng_state()})
    _restore_generators(folder)


def report_stage_b(engine: Any, projector: Projector, step: int, metrics: dict[str, Any]) -> None:
    """Checkpoint Stage B: DeepSpeed's parts of all workers, and the frozen projector beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engines.save(engine, folder, step)
        _save_generators(folder)
        with engines.gathered_parameters(engine) as model:
            if world()[0] == 0:
                save_projector(folder, model.projector)
                TrainingPosition("b", step).write(folder)
        _report(metrics, folder)


def restore_stage_b(folder: Path, engine: Any) -> int:
    """Continue from a checkpoint of Stage B; returns the step it was taken after."""
    step = engines.restore(engine, folder)
    _restore_generators(folder)
    return step


def _save_generators(folder: Path) -> None:
    """The state of this worker's generators, so that dropout continues as in an unbroken run."""
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
    """Load what :func:`save_projector` wrote."""
    projector.load_state_dict(load_file(folder / _PROJECTOR))


def _report(metrics: dict[str, Any], folder: Path) -> None:
    import ray.train

    torch.distributed.barrier()
    ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(str(folder)))
