"""Metrics and records as a run leaves them, for the tests of what shows them."""

from __future__ import annotations

from typing import Any

import pytest


def _system(r1: float, rank: float) -> dict[str, float]:
    return {"r1": r1, "r5": r1 + 0.05, "r10": r1 + 0.1, "mrr": r1 + 0.03, "mean_rank": rank, "count": 1024}


@pytest.fixture
def metrics() -> dict[str, Any]:
    return {
        "job": "train",
        "language": "tibetan",
        "preset": "tiny",
        "run_dir": "/somewhere/runs/tibetan-tiny-with-a-rather-long-name-for-a-directory",
        "seconds": 287.4,
        "steps": {"stage_a": 600, "stage_b": 900},
        "seed": 7,
        "commit": "0123abc",
        "corpus_hash": "9f8e7d",
        "models": {"encoder": {"model": "some/encoder", "revision": "b7f947194"}, "decoder": "embedded"},
        "retrieval": {
            "base": _system(0.002, 498.21),
            "stage_a": _system(0.684, 1.93),
            "stage_ab": _system(0.68, 1.94),
        },
        "answers": {
            "exact": 0.93,
            "f1": 0.962,
            "count": 128,
            "numbers": 0.996,
            "numbers_count": 203,
            "by_type": {
                "how_many": {"exact": 0.9, "f1": 0.91, "count": 64, "numbers": 1.0},
                "translate": {"exact": 0.41, "f1": 0.73, "count": 32, "numbers": None},
                "who": {"exact": 0.96, "f1": 0.98, "count": 64, "numbers": None},
            },
            "chrf": 71.34,
            "chrf_signature": "nrefs:1|case:mixed|version:2.6.0",
        },
        "decoder_english": {"exact": 0.991},
        "slot_gain": {"zero": 2.31, "shuffle": -0.05},
        "tokens": {"raw": 103.6, "slots": 31.2, "ratio": 3.32},
        "corpus": {
            "kept": 11804,
            "dropped": 156,
            "reasons": {
                "wrong_script": {"count": 6, "first_lines": [3, 9, 10322]},
                "duplicate": {"count": 150, "first_lines": [17]},
            },
        },
    }


@pytest.fixture
def records() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for step in range(0, 400, 2):
        parts = {"loss/contrastive": 5 / (1 + step / 50), "loss/norm": 0.001}
        found.append({"stage": "a", "step": step, "loss": sum(parts.values()), **parts})
        if step % 100 == 0:
            found.append(
                {"stage": "a", "step": step, "validation/r1": step / 500, "validation/r10": step / 410}
            )
    for step in range(50):
        usage = {"loss/usage": 0.0} if step % 3 == 0 else {}
        found.append({"stage": "b", "step": step, "loss": 3.0, "loss/supervised": 2.5, **usage})
    return [*found, {"stage": "b", "step": 49, "validation/loss": 2.9}]
