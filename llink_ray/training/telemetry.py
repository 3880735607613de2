"""Figures of a training step: from tensors on the device to numbers, and how fast steps are."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

Metrics = Mapping[str, torch.Tensor | float]
"""Figures by name; tensors are scalars that stay on the device until somebody reads them."""

MACHINE_PREFIXES = ("throughput/", "memory/")
"""Names of figures that depend on the machine and its load begin so; all others are reproducible."""


def to_floats(metrics: Metrics) -> dict[str, float]:
    """The figures as numbers, in their order; waits for the device once."""
    tensors = {name: value for name, value in metrics.items() if isinstance(value, torch.Tensor)}
    values = torch.stack([value.detach().double() for value in tensors.values()]).tolist() if tensors else []
    read = dict(zip(tensors, values, strict=True))
    return {name: read[name] if name in read else float(value) for name, value in metrics.items()}


class Throughput:
    """Rates over the steps since the last reading; what happens between steps is not counted."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._steps = self._examples = self._tokens = 0
        self._seconds = self._waited = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the time of this block."""
        started = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - started

    def count(self, examples: int, tokens: int, waited: float) -> None:
        """One step is done, of all workers' ``examples`` and ``tokens``, ``waited`` seconds for its data."""
        self._steps += 1
        self._examples += examples
        self._tokens += tokens
        self._waited += waited

    def read(self, device: torch.device) -> dict[str, float]:
        """Means over the steps counted since the last call, and the peak memory so far.

        On a GPU that is memory of the device that torch has allocated, else resident memory of the process.
        """
        steps, seconds = max(1, self._steps), max(1e-9, self._seconds)
        figures = {
            "throughput/step_seconds": self._seconds / steps,
            "throughput/data_wait_seconds": self._waited / steps,
            "throughput/examples_per_second": self._examples / seconds,
        }
        if self._tokens:
            figures["throughput/tokens_per_second"] = self._tokens / seconds
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._reset()
        return {**figures, "memory/device_bytes": float(peak)}
