"""Reads a bundle's ``lora/``: PEFT's format, as far as it says what a row of a batch can add."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llink_ray.errors import LlinkError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "bias", "init_lora_weights"}
# What names layers is settled by the tensors in the file; the rest concerns training alone.
_WITHOUT_EFFECT = {
    *("auto_mapping", "base_model_name_or_path", "exclude_modules", "fan_in_fan_out", "inference_mode"),
    *("layers_pattern", "layers_to_transform", "lora_dropout", "megatron_config", "megatron_core"),
    *("peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type"),
    *("ephemeral_gpu_offload", "ensure_weight_tying", "loftq_config", "eva_config"),
}
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Starting values that leave the base weights as they are."""

Layers = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Name of a layer -> A (r, in) and B (r, out), the scaling in B."""


def read_adapter(folder: Path, layers: Mapping[str, nn.Module]) -> Layers:
    """The adapter in ``folder`` for a decoder with these linear layers, float32, on the CPU.

    Raises:
        LlinkError: missing, damaged, made for another decoder, or asking for more than adding ``B·A·x``.
    """
    config = _config(folder / CONFIG)
    tensors = _tensors(folder / WEIGHTS)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, (int, float)):
        raise LlinkError(f"{folder / CONFIG} names no rank and alpha (r, lora_alpha): write the bundle again")
    scale = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        if part == "base_layer" and _is_the_decoders_own(tensor, layers.get(name)):
            continue  # PEFT stores it beside an adapter on the output layer
        if part not in ("lora_A", "lora_B"):
            raise LlinkError(
                f"{folder / WEIGHTS} holds {key}, which is no LoRA on a linear layer: train without"
            )
        found.setdefault(name, {})[part] = tensor
    if not found:
        raise LlinkError(f"{folder / WEIGHTS} holds no adapter: write the bundle again")
    return {name: _pair(folder, name, parts, layers, rank, scale) for name, parts in found.items()}


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LlinkError(f"{path} cannot be read ({error.strerror}): give a bundle's lora folder") from error
    except ValueError as error:
        raise LlinkError(f"{path} is damaged (not JSON): copy the bundle again") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise LlinkError(f"{path} is not a LoRA adapter of PEFT: give a bundle's lora folder")
    asked = [key for key, value in config.items() if value and key not in _READ | _WITHOUT_EFFECT]
    if config.get("bias", "none") != "none":
        asked.append("bias")
    if config.get("init_lora_weights", True) not in _PLAIN_STARTS:
        asked.append("init_lora_weights")  # PiSSA and its kin change the base weights
    if asked:
        raise LlinkError(
            f"{path} asks for {', '.join(sorted(asked))}, which adapters of many languages in one batch "
            "cannot have: train a plain LoRA"
        )
    return config


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except OSError as error:
        raise LlinkError(
            f"{path} cannot be read ({error.strerror or error}): copy the bundle again"
        ) from error
    except SafetensorError as error:
        raise LlinkError(f"{path} is damaged ({error}): copy the bundle again") from error
    return tensors


def _is_the_decoders_own(tensor: torch.Tensor, layer: nn.Module | None) -> bool:
    own = getattr(layer, "weight", None)
    return own is not None and own.shape == tensor.shape and torch.equal(tensor.to(own), own.detach())


def _pair(
    folder: Path,
    name: str,
    parts: dict[str, torch.Tensor],
    layers: Mapping[str, nn.Module],
    rank: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    where = f"{folder / WEIGHTS}, layer {name}"
    if name not in layers:
        raise LlinkError(
            f"{where}: this decoder has no such linear layer: the adapter is for another decoder"
        )
    if parts.keys() != {"lora_A", "lora_B"}:
        raise LlinkError(f"{where}: one of its two matrices is missing: copy the bundle again")
    a, b = parts["lora_A"].float(), parts["lora_B"].float()
    size = widths(layers[name])
    if a.shape != (rank, size[0]) or b.shape != (size[1], rank):
        raise LlinkError(
            f"{where}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit rank {rank} on "
            f"{size[0]} -> {size[1]}: the adapter is for another decoder"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise LlinkError(f"{where}: holds values that are no numbers: train it again")
    return a, b.T * scale


def widths(layer: nn.Module) -> tuple[int, int]:
    """(in, out) of a linear layer; transformers' ``Conv1D`` keeps its weight the other way round."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    out, into = weight.shape if isinstance(layer, nn.Linear) else weight.shape[::-1]
    return into, out
