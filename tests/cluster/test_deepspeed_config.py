"""DeepSpeed's configuration: what settings say stands in it, and nothing in it has to be compiled."""

from __future__ import annotations

import pytest

from llink_ray.cluster.engine import deepspeed_config
from llink_ray.settings import DeepSpeedSettings


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("offload", [False, True])
def test_config(stage: int, offload: bool) -> None:
    settings = DeepSpeedSettings.model_validate({"zero_stage": stage, "offload": offload})
    made = deepspeed_config(settings, micro_batch=4, accumulation=3, clip=0.7, bf16=True)
    assert made["train_micro_batch_size_per_gpu"] == 4
    assert made["gradient_accumulation_steps"] == 3
    assert made["gradient_clipping"] == 0.7
    assert made["bf16"] == {"enabled": True}
    zero = made["zero_optimization"]
    assert zero["stage"] == stage
    assert ("offload_optimizer" in zero) == offload
    assert ("offload_param" in zero) == (offload and stage == 3)  # earlier stages keep parameters whole
    assert "optimizer" not in made  # one named here would be compiled
