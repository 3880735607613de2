"""Both stages of one trial as a Ray Train run of its own, whose history is followed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llink_ray.cluster.ray_train import run_ray_train
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.sweep_trial import SHARED_DATA
from llink_ray.errors import JobFailed
from llink_ray.settings import Settings
from llink_ray.training import history

_POLL_SECONDS = 0.5
_PREFIX = "validation/"
_LONG_NAMES = {"r1": "retrieval.r1", "r10": "retrieval.r10"}  # Stage A's evaluations have short ones


def train_both_stages(path: Path, data: Path, settings: Settings) -> Iterator[tuple[int, dict[str, float]]]:
    """Train in ``path``, from its last checkpoint where there is one.

    Args:
        path: run directory of the trial.
        data: run directory that has the pairs and knows the features.
        settings: the trial's.

    Yields:
        At every evaluation the steps of both stages so far, and the figures.

    Raises:
        LlinkError: the run's own sentence.
        JobFailed: the loss is no number any more, or Ray Train gave up.
    """
    run, shared = RunDir(path), RunDir(data)
    record = shared.read_json(shared.record) | {"settings": settings.model_dump(mode="json")}
    run.write_json(run.record, record)
    if not (run.path / "pairs").exists():
        (run.path / "pairs").symlink_to(shared.path / "pairs", target_is_directory=True)
    config = shared.read_json(shared.path / SHARED_DATA) | {
        "settings": record["settings"],
        "run_dir": str(run.path),
        "trained": run.draft.is_dir(),
        "measured": False,
    }
    failures: list[BaseException] = []

    def train() -> None:
        try:
            run_ray_train(run, settings, config)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=train, daemon=True)  # a pruned trial's process does not wait for it
    thread.start()
    seen: tuple[str, int] = ("", 0)
    steps_before = {"a": 0, "b": settings.stage_a.steps * settings.stage_a.enabled}
    ended = False
    while not ended:
        thread.join(_POLL_SECONDS)
        ended = not thread.is_alive()
        for entry in history.read(run.history):
            position = entry["stage"], entry["step"]
            if position <= seen:
                continue
            seen = position
            if entry["loss"] is None:
                raise JobFailed(f"the loss is no number at step {position[1]} of Stage {position[0].upper()}")
            if figures := _figures(entry):
                yield steps_before[entry["stage"]] + entry["step"], figures
    if failures:
        raise failures[0]
    shutil.rmtree(run.path / "ray", ignore_errors=True)
    shutil.rmtree(run.draft, ignore_errors=True)


def _figures(entry: dict[str, Any]) -> dict[str, float]:
    names = {key: key.removeprefix(_PREFIX) for key, value in entry.items() if value is not None}
    return {_LONG_NAMES.get(name, name): entry[key] for key, name in names.items() if key.startswith(_PREFIX)}
