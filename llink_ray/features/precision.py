"""Which number format the frozen models compute features in."""

from __future__ import annotations

from llink_ray.features.spec import Dtype
from llink_ray.settings import Settings


def extraction_dtype(settings: Settings) -> Dtype:
    """What ``features.dtype`` comes to on this machine; every GPU is taken to compute in bfloat16."""
    wanted = settings.features.dtype
    if wanted != "auto":
        return wanted
    if settings.cluster.gpus_per_worker > 0:
        return "bfloat16"
    import torch

    # Without instructions that multiply in it bfloat16 is slower than float32.
    capable = torch.cpu.get_capabilities()
    return "bfloat16" if capable.get("amx_bf16") or capable.get("avx512_bf16") else "float32"
