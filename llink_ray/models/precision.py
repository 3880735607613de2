"""Number formats that devices compute in natively."""

from __future__ import annotations

import torch


def computes_bf16(device: torch.device | str = "cpu") -> bool:
    """Whether ``device`` multiplies in bfloat16; one that does not is slower with it than in float32."""
    if torch.device(device).type != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
