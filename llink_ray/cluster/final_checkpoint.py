"""A last checkpoint of a run that is stopped: the driver asks, the workers answer, by a file of the run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from llink_ray.cluster.progress import STAGES
from llink_ray.cluster.run_directory import RunDir
from llink_ray.stopping import checkpoint_seconds

_PAUSE = 0.05


class Place(TypedDict):
    """Where a checkpoint was taken."""

    stage: str
    step: int


def request_checkpoints(paths: Iterable[Path], seconds: float) -> list[str]:
    """Have every run that is at its steps take a checkpoint, as far as ``seconds`` suffice.

    The workers wait for their end afterwards. To be called as long as Ray is still there.

    Returns:
        A sentence for each run that has a checkpoint.
    """
    runs = [RunDir(path) for path in paths]
    asked = [run for run in runs if run.stepping.exists()]
    try:
        for run in asked:
            with suppress(OSError):
                run.stop.touch()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not all(_answered(run) for run in asked):
            time.sleep(_PAUSE)
        return [_sentence(run) for run in runs if newest(run.path)]
    finally:
        for run in asked:
            run.stop.unlink(missing_ok=True)


@contextmanager
def checkpoint_when_stopped(
    paths: Callable[[], Iterable[Path]], say: Callable[[str], None]
) -> Iterator[None]:
    """Runs that are trained in this block take a last checkpoint when a signal ends it; ``say`` tells."""
    try:
        yield
    except KeyboardInterrupt:
        for sentence in request_checkpoints(paths(), checkpoint_seconds()):
            say(sentence)
        raise


def newest(path: Path) -> Place | None:
    """Place of the newest checkpoint of a run that Ray Train knows of."""
    folder = path / "ray"
    snapshot = _read(folder / "checkpoint_manager_snapshot.json")
    try:
        name = snapshot["latest_checkpoint_result"]["checkpoint_dir_name"]
        place: Place = json.loads((folder / name / "place.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return place


def answer(run: RunDir, place: Place) -> None:
    """Called by the first worker once its checkpoint was handed over."""
    run.write_json(run.stop, place)


def wait_until_killed() -> None:
    """What workers do afterwards: any further step would be lost."""
    while True:
        time.sleep(1)


def forget(run: RunDir) -> None:
    """Before the workers start: what a killed run has left must not stop this one."""
    for path in (run.stop, run.stepping):
        path.unlink(missing_ok=True)


def _answered(run: RunDir) -> bool:
    """The checkpoint is there, and whoever resumes will find it."""
    place = _read(run.stop)
    return (bool(place) and place == newest(run.path)) or not run.stepping.exists()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or half written
        return {}
    return found if isinstance(found, dict) else {}


def _sentence(run: RunDir) -> str:
    place = newest(run.path)
    assert place is not None
    return f"checkpoint after step {place['step']} of {STAGES[place['stage']]} in {run.path}"
