"""DeepSpeed's configuration as data; nothing here imports DeepSpeed."""

from __future__ import annotations

from typing import Any

from llink_ray.settings import DeepSpeedSettings


def config(
    settings: DeepSpeedSettings, micro_batch: int, accumulation: int, clip: float, bf16: bool
) -> dict[str, Any]:
    """What ``deepspeed.initialize`` takes; the optimizer is ours, so nothing has to be compiled."""
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
        if settings.zero_stage == 3:
            zero["offload_param"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": bf16},
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }
