"""Two workers with half a batch each do what one worker does with all of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
import two_workers
from safetensors.torch import load_file
from torch.multiprocessing.spawn import spawn


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("two")
    started = spawn(two_workers.start, (2, str(folder)), nprocs=2, join=False, daemon=True)
    assert started is not None
    end = time.monotonic() + 200
    while not started.join(timeout=5):
        assert time.monotonic() < end, "the workers wait for one another"
    return [load_file(Path(folder) / f"rank-{rank}.safetensors") for rank in (0, 1)]


def compare(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], start: str) -> None:
    names = {name for name in found if name.startswith(start)}
    assert names == set(expected)
    for name in names:
        gap = (found[name] - expected[name]).abs().max()
        assert gap <= 1e-6 * max(1.0, float(expected[name].abs().max())), (name, float(gap))


def test_stage_a(both: list[dict[str, torch.Tensor]]) -> None:
    expected = two_workers.stage_a()
    for found in both:
        compare(found, expected, "a.")


@pytest.mark.parametrize(
    ("variant", "ablation", "trained"),
    [
        ("resampler", "shuffle", "expander.scale"),
        ("resampler", "mean", "expander.scale"),
        ("pooled", "shuffle", "mlp.1.weight"),
    ],
)
def test_stage_b(both: list[dict[str, torch.Tensor]], variant: str, ablation: str, trained: str) -> None:
    expected, key = two_workers.stage_b(ablation, variant), f"b.{variant}.{ablation}"
    assert f"{key}.grad.slots.{trained}" in expected
    assert float(expected[f"{key}.contrastive"]) > 0
    for found in both:
        compare(found, expected, f"{key}.")
