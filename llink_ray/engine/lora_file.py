"""Reads a bundle's ``lora/``: PEFT's format, as far as it can be added to one row of a batch."""

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
_SUPPORTED = {"peft_type", "r", "lora_alpha", "use_rslora", "bias", "init_lora_weights"}
# Which layers have adapters is read from the tensors; the rest concerns training alone.
_IGNORED = {
    *("auto_mapping", "base_model_name_or_path", "exclude_modules", "fan_in_fan_out", "inference_mode"),
    *("layers_pattern", "layers_to_transform", "lora_dropout", "megatron_config", "megatron_core"),
    *("peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type"),
    *("ephemeral_gpu_offload", "ensure_weight_tying", "loftq_config", "eva_config"),
}
_PLAIN_INITS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base weights as they are."""

LayerWeights = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Layer name -> A (r, in) and B transposed (r, out), with the scaling in B."""


def read_lora(folder: Path, layers: Mapping[str, nn.Module]) -> LayerWeights:
    """The adapter in ``folder`` for a decoder with these linear layers, float32, on the CPU.

    Raises:
        LlinkError: missing, damaged, made for another decoder, or using more than a plain LoRA.
    """
    config = _config(folder / CONFIG)
    tensors = _tensors(folder / WEIGHTS)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, (int, float)):
        raise LlinkError(f"{folder / CONFIG} names no rank and alpha (r, lora_alpha): write the bundle again")
    scale = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
    parts_by_layer: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        if part == "base_layer" and _is_base_weight(tensor, layers.get(name)):
            continue  # PEFT stores it beside an adapter on the output layer
        if part not in ("lora_A", "lora_B"):
            raise LlinkError(
                f"{folder / WEIGHTS} holds {key}, which is no LoRA on a linear layer: train without"
            )
        parts_by_layer.setdefault(name, {})[part] = tensor
    if not parts_by_layer:
        raise LlinkError(f"{folder / WEIGHTS} holds no adapter: write the bundle again")
    return {name: _pair(folder, name, parts, layers, rank, scale) for name, parts in parts_by_layer.items()}


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LlinkError(f"{path} cannot be read ({error.strerror}): give a bundle's lora folder") from error
    except ValueError as error:
        raise LlinkError(f"{path} is damaged (not JSON): copy the bundle again") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise LlinkError(f"{path} is not a LoRA adapter of PEFT: give a bundle's lora folder")
    unsupported = [key for key, value in config.items() if value and key not in _SUPPORTED | _IGNORED]
    if config.get("bias", "none") != "none":
        unsupported.append("bias")
    if config.get("init_lora_weights", True) not in _PLAIN_INITS:
        unsupported.append("init_lora_weights")  # PiSSA and similar ones change the base weights
    if unsupported:
        raise LlinkError(
            f"{path} asks for {', '.join(sorted(unsupported))}, which adapters of many languages in one "
            "batch cannot have: train a plain LoRA"
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


def _is_base_weight(tensor: torch.Tensor, layer: nn.Module | None) -> bool:
    weight = getattr(layer, "weight", None)
    return (
        weight is not None
        and weight.shape == tensor.shape
        and torch.equal(tensor.to(weight), weight.detach())
    )


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
    width_in, width_out = layer_widths(layers[name])
    if a.shape != (rank, width_in) or b.shape != (width_out, rank):
        raise LlinkError(
            f"{where}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit rank {rank} on "
            f"{width_in} -> {width_out}: the adapter is for another decoder"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise LlinkError(f"{where}: holds values that are no numbers: train it again")
    return a, b.T * scale


def layer_widths(layer: nn.Module) -> tuple[int, int]:
    """(in, out) of a linear layer; transformers' ``Conv1D`` stores its weight transposed."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    width_out, width_in = weight.shape if isinstance(layer, nn.Linear) else weight.shape[::-1]
    return width_in, width_out
