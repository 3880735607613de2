"""Many LoRA adapters on one frozen decoder, one for each row of a batch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from llink_ray.engine.lora_file import LayerWeights, layer_widths, read_lora
from llink_ray.errors import LlinkError


class _Stack(NamedTuple):
    """All adapters' matrices of one layer, in the decoder's dtype; row 0 is zero."""

    a: torch.Tensor
    """(n, r, in)"""
    b: torch.Tensor
    """(n, r, out): B transposed, scaling included, so that a gathered batch needs no transposition."""


class AdapterPool:
    """Adapters by name on the linear layers of ``model``, added row by row of a batch.

    Each adapted layer gathers its rows' matrices and adds two batched products, so a batch of four
    languages costs what a batch of one language costs. Ranks are padded to the largest. A layer that no
    adapter targets is left alone. ``load`` and ``unload`` may be called while another thread decodes:
    a row of the pool is written only while nobody reads it, and an acquired one stays until released.
    """

    def __init__(self, model: nn.Module) -> None:
        from transformers.pytorch_utils import Conv1D

        if hasattr(model, "peft_config") or any("lora_A" in name for name, _ in model.named_modules()):
            raise LlinkError("this decoder has adapters on it already: load a plain one for the engine")
        self._layers: dict[str, nn.Module] = {
            name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, Conv1D))
        }
        self._stacks: dict[str, _Stack] = {}
        self._hooks: dict[str, Any] = {}
        self._rows: dict[str, int] = {}
        self._targets: dict[int, frozenset[str]] = {}
        self._users: Counter[int] = Counter()
        self._free: list[int] = []
        self.size = 1
        """Rows of the pool, free ones included."""
        self._active: torch.Tensor | None = None  # (B,) of the current forward pass
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the loaded adapters, in alphabetical order."""
        with self._lock:
            return sorted(self._rows)

    @torch.inference_mode(False)
    @torch.no_grad()
    def load(self, name: str, folder: Path | str) -> None:
        """Add the adapter of a bundle's ``lora/``; one of that name is replaced for later users.

        Raises:
            LlinkError: the folder cannot be honoured; nothing was changed.
        """
        weights = read_lora(Path(folder), self._layers)
        with self._lock:
            row = self._free.pop() if self._free else self.size
            self.size = max(self.size, row + 1)
            for layer in self._stacks.keys() | weights.keys():
                self._write(layer, row, weights)
            self._targets[row] = frozenset(weights)
            replaced = self._rows.get(name)
            self._rows[name] = row
            if replaced is not None:
                self._retire(replaced)

    def _write(self, name: str, row: int, weights: LayerWeights) -> None:
        """Row ``row`` of one layer's stack: in place where it fits, else in a larger stack."""
        layer = self._layers[name]
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        width_in, width_out = layer_widths(layer)
        pair = weights.get(name, (weight.new_empty(0, width_in), weight.new_empty(0, width_out)))
        stack = self._stacks.get(name) or _Stack(
            weight.new_zeros(0, 0, width_in), weight.new_zeros(0, 0, width_out)
        )
        rank = max(len(pair[0]), stack.a.shape[1])
        if stack.a.shape[:2] != (self.size, rank):
            stack = _Stack(_enlarged(stack.a, self.size, rank), _enlarged(stack.b, self.size, rank))
        for matrices, matrix in zip(stack, pair, strict=True):
            matrices[row] = 0
            matrices[row, : len(matrix)] = matrix.to(matrices)
        self._stacks[name] = stack
        if name not in self._hooks:
            self._hooks[name] = layer.register_forward_hook(partial(self._add, name))

    def unload(self, name: str) -> None:
        """Remove an adapter: nobody can acquire it from now on, and who has it keeps it.

        Raises:
            LlinkError: no adapter of that name.
        """
        with self._lock:
            row = self._row(name)
            del self._rows[name]
            self._retire(row)

    def _row(self, name: str) -> int:
        if name not in self._rows:
            known = ", ".join(sorted(self._rows)) or "none"
            raise LlinkError(f"there is no adapter {name!r} here (there are: {known})")
        return self._rows[name]

    def acquire(self, name: str | None) -> int:
        """Row of an adapter, 0 for None; it stays as it is until ``release``.

        Raises:
            LlinkError: no adapter of that name.
        """
        with self._lock:
            row = 0 if name is None else self._row(name)
            self._users[row] += 1
            return row

    def release(self, row: int) -> None:
        """The counterpart of ``acquire``."""
        with self._lock:
            self._users[row] -= 1
            self._retire(row)

    def _retire(self, row: int) -> None:
        """Free a row that has no name and no user any more, and unhook layers that nothing targets."""
        if row == 0 or self._users[row] > 0 or row in self._rows.values() or row not in self._targets:
            return
        del self._targets[row]
        self._free.append(row)
        targeted = frozenset().union(*self._targets.values())
        for name in self._stacks.keys() - targeted:
            self._hooks.pop(name).remove()
            del self._stacks[name]

    @contextmanager
    def activate(self, rows: Sequence[int]) -> Iterator[None]:
        """Row ``i`` of the forward passes inside has adapter ``rows[i]``; one thread at a time."""
        if any(rows):
            device = next(iter(self._stacks.values())).a.device
            self._active = torch.tensor(list(rows), device=device)
        try:
            yield
        finally:
            self._active = None

    def _add(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> Any:
        """Forward hook: output (B, S, out) of inputs (B, S, in), plus each row's B·A·x."""
        active, stack = self._active, self._stacks.get(name)
        if active is None or stack is None:
            return None
        x = inputs[0]
        if x.ndim != 3 or x.shape[0] != active.shape[0]:
            raise LlinkError(
                f"layer {name} of this decoder mixes the rows of a batch: adapters by row cannot be on it"
            )
        # index_select, not a[active]: general indexing is several times as slow as the products themselves.
        a, b = stack.a.index_select(0, active), stack.b.index_select(0, active)  # (B, r, in), (B, r, out)
        return torch.baddbmm(output, torch.bmm(x.to(a.dtype), a.transpose(1, 2)), b)


def _enlarged(matrices: torch.Tensor, count: int, rank: int) -> torch.Tensor:
    """The same in a tensor (count, rank, width), zero elsewhere."""
    larger = matrices.new_zeros(count, rank, matrices.shape[2])
    larger[: len(matrices), : matrices.shape[1]] = matrices
    return larger
