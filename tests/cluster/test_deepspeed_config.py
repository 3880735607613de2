"""DeepSpeed's configuration: what settings say stands in it, and nothing in it has to be compiled."""

from __future__ import annotations

import pytest
import torch

from llink_ray.cluster.engine import deepspeed_config, has_bf16
from llink_ray.settings import DeepSpeedSettings, Settings, configure


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("offload", [False, True])
def test_config(stage: int, offload: bool) -> None:
    settings = DeepSpeedSettings.model_validate({"zero_stage": stage, "offload": offload})
    made = deepspeed_config(settings, examples=4, clip=0.7, bf16=True)
    assert made["gradient_accumulation_steps"] > 1  # or DeepSpeed keeps no sum where it offloads
    assert made["gradient_clipping"] == 0.7
    assert made["bf16"] == {"enabled": True}
    zero = made["zero_optimization"]
    assert zero["stage"] == stage
    assert ("offload_optimizer" in zero) == offload
    assert ("offload_param" in zero) == (offload and stage == 3)  # earlier stages keep parameters whole
    assert "optimizer" not in made  # one named here would be compiled


@pytest.mark.parametrize("capable", ["amx_bf16", "avx512_bf16", "avx2"])
def test_bf16_where_the_processor_computes_in_it(capable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False, capable: True})
    cpu = torch.device("cpu")
    assert has_bf16(Settings(), cpu) == (capable != "avx2")
    for wanted in (True, False):
        assert has_bf16(Settings(deepspeed=DeepSpeedSettings(bf16=wanted)), cpu) is wanted
    tiny = configure.resolve(configure.preset("tiny"))  # whose figures are to be the same everywhere
    assert not has_bf16(tiny, cpu)
