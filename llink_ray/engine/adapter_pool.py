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

from llink_ray.engine.lora_file import Layers, read_adapter, widths
from llink_ray.errors import LlinkError


class _Stack(NamedTuple):
    """All adapters of one layer, in the decoder's dtype; row 0 is zero: the layer as it came."""

    a: torch.Tensor
    """(n, r, in)"""
    b: torch.Tensor
    """(n, r, out), scaling included; transposed, so that gathering it leaves nothing to turn round."""


class AdapterPool:
    """Adapters by name on the linear layers of ``model``, added row by row of a batch.

    Each adapted layer gathers its rows' matrices and adds two batched products, so a batch of four
    languages costs what a batch of one language costs. Ranks are padded to the largest. A layer that no
    adapter targets is the plain one. ``put`` and ``remove`` may be called while another thread decodes:
    a row of the pool is written only while nobody reads it, and one that is held stays until released.
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
        self._size = 1
        self._index: torch.Tensor | None = None  # (B,) of the forward pass that is on
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Adapters that can be asked for, in alphabetical order."""
        with self._lock:
            return sorted(self._rows)

    @torch.inference_mode(False)
    @torch.no_grad()
    def put(self, name: str, folder: Path | str) -> None:
        """Add the adapter of a bundle's ``lora/``, or replace the one of that name.

        Who holds the old one keeps it.

        Raises:
            LlinkError: the folder cannot be honoured; nothing was changed.
        """
        read = read_adapter(Path(folder), self._layers)
        with self._lock:
            row = self._free.pop() if self._free else self._size
            self._size = max(self._size, row + 1)
            for layer in self._stacks.keys() | read.keys():
                self._write(layer, row, read)
            self._targets[row] = frozenset(read)
            old = self._rows.get(name)
            self._rows[name] = row
            if old is not None:
                self._retire(old)

    def _write(self, name: str, row: int, read: Layers) -> None:
        """Row ``row`` of one layer's stack: in place where it fits, else in a wider stack."""
        layer = self._layers[name]
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        into, out = widths(layer)
        pair = read.get(name, (weight.new_empty(0, into), weight.new_empty(0, out)))
        stack = self._stacks.get(name) or _Stack(weight.new_zeros(0, 0, into), weight.new_zeros(0, 0, out))
        rank = max(len(pair[0]), stack.a.shape[1])
        if stack.a.shape[:2] != (self._size, rank):
            stack = _Stack(_grown(stack.a, self._size, rank), _grown(stack.b, self._size, rank))
        for whole, part in zip(stack, pair, strict=True):
            whole[row] = 0
            whole[row, : len(part)] = part.to(whole)
        self._stacks[name] = stack
        if name not in self._hooks:
            self._hooks[name] = layer.register_forward_hook(partial(self._add, name))

    def remove(self, name: str) -> None:
        """Take an adapter out: nobody can ask for it from now on, and who holds it keeps it.

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

    def hold(self, name: str | None) -> int:
        """Row of an adapter, 0 for None; it stays as it is until ``release``.

        Raises:
            LlinkError: no adapter of that name.
        """
        with self._lock:
            row = 0 if name is None else self._row(name)
            self._users[row] += 1
            return row

    def release(self, row: int) -> None:
        """The counterpart of ``hold``."""
        with self._lock:
            self._users[row] -= 1
            self._retire(row)

    def _retire(self, row: int) -> None:
        """Free a row that has no name and no user any more, and make layers plain that nothing targets."""
        if row == 0 or self._users[row] > 0 or row in self._rows.values() or row not in self._targets:
            return
        del self._targets[row]
        self._free.append(row)
        wanted = frozenset().union(*self._targets.values())
        for name in self._stacks.keys() - wanted:
            self._hooks.pop(name).remove()
            del self._stacks[name]

    @contextmanager
    def using(self, rows: Sequence[int]) -> Iterator[None]:
        """Forward passes inside are of a batch whose row ``i`` has adapter ``rows[i]``.

        One thread at a time: the decoder has one batch.
        """
        if any(rows):
            device = next(iter(self._stacks.values())).a.device
            self._index = torch.tensor(list(rows), device=device)
        try:
            yield
        finally:
            self._index = None

    def _add(self, name: str, layer: nn.Module, given: tuple[Any, ...], made: torch.Tensor) -> Any:
        """Forward hook: made (B, S, out) of given (B, S, in), plus each row's B·A·x."""
        index, stack = self._index, self._stacks.get(name)
        if index is None or stack is None:
            return None
        x = given[0]
        if x.ndim != 3 or x.shape[0] != index.shape[0]:
            raise LlinkError(
                f"layer {name} of this decoder mixes the rows of a batch: adapters by row cannot be on it"
            )
        # index_select, not a[index]: general indexing is several times as slow as the products themselves.
        a, b = stack.a.index_select(0, index), stack.b.index_select(0, index)  # (B, r, in), (B, r, out)
        return torch.baddbmm(made, torch.bmm(x.to(a.dtype), a.transpose(1, 2)), b)


def _grown(part: torch.Tensor, count: int, rank: int) -> torch.Tensor:
    """The same in a tensor (count, rank, width), zero where ``part`` has nothing."""
    new = part.new_zeros(count, rank, part.shape[2])
    new[: len(part), : part.shape[1]] = part
    return new
