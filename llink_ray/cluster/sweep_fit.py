"""Both stages of one trial as a Ray Train run of its own, its history followed and passed on to Ray Tune."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llink_ray.cluster.ray_train import run_ray_train
from llink_ray.cluster.run_directory import RunDir
from llink_ray.errors import JobFailed
from llink_ray.settings import Settings
from llink_ray.training import history

_EVERY = 0.5
_PREFIX = "validation/"
_LONG_NAMES = {"r1": "retrieval.r1", "r10": "retrieval.r10"}  # Stage A's looks have short ones


def run_both_stages(
    path: Path, world: Path, settings: Settings, tell: Callable[[int, dict[str, float]], None]
) -> None:
    """Train in ``path``, from its last checkpoint where there is one; ``tell`` is called at every look.

    Args:
        path: run directory of the trial.
        world: run directory that has the pairs and knows the features.
        settings: the trial's.
        tell: takes the steps of both stages so far, and figures.

    Raises:
        LlinkError: the run's own sentence.
        JobFailed: the loss is no number any more, or Ray Train gave up.
    """
    run, origin = RunDir(path), RunDir(world)
    record = origin.read_json(origin.record) | {"settings": settings.model_dump(mode="json")}
    run.write_json(run.record, record)
    if not (run.path / "pairs").exists():
        (run.path / "pairs").symlink_to(origin.path / "pairs", target_is_directory=True)
    config = origin.read_json(origin.path / "world.json") | {
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

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    for step, figures in _looks(run, settings, thread):
        tell(step, figures)
    if failures:
        raise failures[0]
    shutil.rmtree(run.path / "ray", ignore_errors=True)
    shutil.rmtree(run.draft, ignore_errors=True)


def _looks(
    run: RunDir, settings: Settings, thread: threading.Thread
) -> Iterator[tuple[int, dict[str, float]]]:
    before = {"a": 0, "b": settings.stage_a.steps * settings.stage_a.enabled}
    told: tuple[str, int] = ("", 0)
    while True:
        thread.join(_EVERY)
        last = not thread.is_alive()
        for record in history.read(run.history):
            place = record["stage"], record["step"]
            if place <= told:
                continue
            told = place
            if record["loss"] is None:
                raise JobFailed(f"the loss is no number at step {place[1]} of Stage {place[0].upper()}")
            figures = _figures(record)
            if figures:
                yield before[record["stage"]] + record["step"], figures
        if last:
            return


def _figures(record: dict[str, Any]) -> dict[str, float]:
    found = {k.removeprefix(_PREFIX): v for k, v in record.items() if k.startswith(_PREFIX) and v is not None}
    return {_LONG_NAMES.get(name, name): value for name, value in found.items()}
