"""Small sweeps: trials of a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from cluster_runs import ROOT, SMALL

from llink_ray.cluster.job import Request
from llink_ray.cluster.sweep import SweepRequest, sweep
from llink_ray.settings import configure
from llink_ray.sweeps.search import read_search
from llink_ray.sweeps.trials import Trial

OVER: dict[str, Any] = {
    "corpus": {"pairs": 800},
    "stage_a": {"steps": 30, "batch_size": 64, "queue": 256, "hard_negatives": 32},
    "stage_b": {"steps": 8, "batch_size": 12, "validation_answers": 8},
    "cluster": {"cpus_per_worker": 1.0},
    "evaluation": {"batch_size": 32, "max_new_tokens": 8},
}


def small_file(folder: Path) -> Path:
    """``--settings`` of a small sweep."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(configure.merge(SMALL, OVER)), encoding="utf-8")
    return file


def asked(folder: Path, store: Path, *flags: str, lang: str = "tibetan", **more: Any) -> SweepRequest:
    """A small sweep of space smoke."""
    request = Request(
        languages=lang,
        preset="tiny",
        settings_file=str(small_file(folder)),
        assignments=[f"features.directory={store}", *flags],
        output=str(folder / "runs"),
        publish=False,
    )
    given: dict[str, Any] = {"space": "smoke", "spaces": ROOT / "tune_spaces", "evaluations": 5}
    return SweepRequest(training=request, **(given | more))


def run(folder: Path, store: Path, *flags: str, **more: Any) -> dict[str, Any]:
    """Carry it out on the Ray that is there."""
    return sweep(asked(folder, store, *flags, **more))


def trials_in(folder: str | Path) -> list[Trial]:
    """What the journal holds."""
    return read_search(Path(folder)).all_trials()


def own_space(folder: Path, text: str) -> str:
    """A person's own space file."""
    file = folder / "own.py"
    file.write_text(f"from llink_ray.sweeps import choice, integer, real\n\nSPACE = {text}\n")
    return str(file)
