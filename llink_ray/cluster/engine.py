"""DeepSpeed around Stage B's objective."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from llink_ray.errors import JobFailed
from llink_ray.models.llink import LlinkModel
from llink_ray.models.precision import computes_bf16
from llink_ray.settings import DeepSpeedSettings, Settings
from llink_ray.training.sampler import effective_batch_size
from llink_ray.training.stage_b import Objective, parameter_groups

_TAG = "stage_b"


def has_bf16(settings: Settings, device: torch.device) -> bool:
    """Whether to train in bf16: the setting, else whether the device computes in it."""
    if settings.deepspeed.bf16 is not None:
        return settings.deepspeed.bf16
    return computes_bf16(device)


def deepspeed_config(settings: DeepSpeedSettings, examples: int, clip: float, bf16: bool) -> dict[str, Any]:
    """Configuration for ``deepspeed.initialize``; the optimizer is torch's, so no kernel is compiled.

    A step's micro-batches, of ``examples`` together, are as many as it needs: the training loop names the
    last one and scales the losses. DeepSpeed is told that there are several, since by its source it keeps
    no sum of gradients otherwise where the optimizer is offloaded.
    """
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
        if settings.zero_stage == 3:
            zero["offload_param"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": examples,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": bf16},
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }


def initialize(model: LlinkModel, settings: Settings, examples: int, workers: int, bf16: bool) -> Any:
    """A DeepSpeed engine over the objective; ``engine.module.model`` is ``model``."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    # The extension is for inference only, and compiling it takes 90 s.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False)
    stage = settings.stage_b
    share = effective_batch_size(stage.batch_size, examples, workers) // workers
    optimizer = torch.optim.AdamW(parameter_groups(model, stage), betas=stage.betas, foreach=False)
    engine, *_ = deepspeed.initialize(
        model=Objective(model, stage),
        optimizer=optimizer,
        config=deepspeed_config(settings.deepspeed, share, stage.clip, bf16),
    )
    return engine


def save(engine: Any, folder: Path, step: int) -> None:
    """Write this worker's part of a checkpoint: trainable weights and optimizer."""
    engine.save_checkpoint(
        str(folder),
        tag=_TAG,
        client_state={"step": step},
        exclude_frozen_parameters=True,
        save_latest=False,
    )


def restore(engine: Any, folder: Path) -> int:
    """Load a checkpoint; returns the step it was taken after.

    Raises:
        JobFailed: DeepSpeed found nothing to load.
    """
    loaded, client = engine.load_checkpoint(str(folder), tag=_TAG, load_module_strict=False)
    if loaded is None:
        raise JobFailed(
            f"the checkpoint in {folder} could not be loaded: start the run anew without --resume"
        )
    return int(client["step"])


@contextmanager
def gathered_parameters(engine: Any) -> Iterator[LlinkModel]:
    """The model with its weights (without the frozen decoder's) whole on every worker, at any ZeRO stage.

    For reading them; forward passes go through the engine.
    """
    model: LlinkModel = engine.module.model
    own = [*model.projector.parameters(), *(p for p in model.parameters() if p.requires_grad)]
    sharded = [p for p in own if hasattr(p, "ds_id")]
    if sharded:
        import deepspeed

        context = deepspeed.zero.GatheredParameters(sharded)
    else:
        context = nullcontext()
    with context:
        yield model
