"""A bundle small enough to break in every way: real layout, tensors of a few numbers, no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
from safetensors.numpy import save_file

import llink_ray
from llink_ray.bundles.bundle import write_bundle
from llink_ray.bundles.manifest import INDEX, BundleInfo, ModelInfo, SlotsInfo, package_versions
from llink_ray.bundles.model_card import model_card
from llink_ray.settings import Settings

METRICS: dict[str, Any] = {
    "retrieval": {
        "base": {"r1": 0.002, "r5": 0.01, "r10": 0.02, "mrr": 0.01, "mean_rank": 256.0},
        "stage_a": {"r1": 0.731, "r5": 0.951, "r10": 0.982, "mrr": 0.822, "mean_rank": 1.9},
        "stage_ab": {"r1": 0.742, "r5": 0.953, "r10": 0.984, "mrr": 0.833, "mean_rank": 1.8},
    },
    "answers": {"exact": 0.914, "f1": 0.945, "numbers": 0.996, "by_type": {"who": 0.97, "how|many": 0.99}},
    "slot_gain": {"zero": 1.234, "shuffle": 0.567},
    "tokens": {"raw": 104.0, "slots": 12.0},
    "corpus": {"kept": 11000, "dropped": {"duplicate": 7, "wrong script": {"count": 5, "first_lines": [1]}}},
}


def make_info(**changes: Any) -> BundleInfo:
    fields: dict[str, Any] = {
        "language": "bo",
        "language_name": "Tibetan",
        "encoder": ModelInfo(id="embedded", fingerprint="e1", hidden_size=96),
        "decoder": ModelInfo(id="org/decoder", revision="abc", fingerprint="d1", hidden_size=160),
        "slots": SlotsInfo(count=8, variant="resampler", numerals=True),
        "settings": Settings().model_dump(),
        "corpus_hash": "c0ffee",
        "seed": 0,
        "packages": package_versions(),
    }
    return BundleInfo(**{**fields, **changes})


def write_files(directory: Path) -> None:
    (directory / "lora").mkdir()
    for name in ("projector", "slots", "lora/adapter_model"):
        save_file({"weight": numpy.arange(64, dtype=numpy.float32)}, str(directory / f"{name}.safetensors"))
    (directory / "lora/adapter_config.json").write_text('{"r": 16}')
    (directory / "metrics.json").write_text(json.dumps(METRICS))
    card = model_card(make_info(created=datetime(2025, 1, 1, tzinfo=UTC)), METRICS)
    (directory / "README.md").write_text(card, encoding="utf-8")


def make_bundle(path: Path, **changes: Any) -> Path:
    return write_bundle(path, make_info(**changes), write_files)


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory by its relative path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def edit_index(bundle: Path, change: Callable[[dict[str, Any]], object], *, reseal: bool = True) -> None:
    """What someone with write access could do, digest included."""
    raw = json.loads((bundle / INDEX).read_text(encoding="utf-8"))
    change(raw)
    if reseal:
        raw["digest"] = BundleInfo.model_validate(raw).computed_digest()
    (bundle / INDEX).write_text(json.dumps(raw), encoding="utf-8")


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that can import this project and this file; ``code`` reads sys.argv[1:]."""
    places = (Path(llink_ray.__file__).parents[1], Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
