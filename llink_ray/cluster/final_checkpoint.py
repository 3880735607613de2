"""The checkpoint of a run that is stopped: the driver requests it and the workers reply, by a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from llink_ray.cluster.progress import STAGES
from llink_ray.cluster.run_directory import RunDir
from llink_ray.stopping import checkpoint_seconds

POSITION_FILE = "place.json"
"""In a checkpoint."""
_PAUSE = 0.05


@dataclass(frozen=True)
class TrainingPosition:
    """How far training is: ``step`` steps of ``stage`` (``a`` or ``b``) are done."""

    stage: str
    step: int

    def write(self, folder: Path) -> None:
        """Put it into a checkpoint."""
        (folder / POSITION_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> TrainingPosition:
        """Of the checkpoint in ``folder``."""
        return cls(**json.loads((folder / POSITION_FILE).read_text(encoding="utf-8")))


def request_checkpoints(paths: Iterable[Path], seconds: float) -> list[str]:
    """Have every run that is at its steps take a checkpoint, as far as ``seconds`` suffice.

    The workers then wait until they are killed. To be called while Ray is still there.

    Returns:
        A sentence for each run that has a checkpoint.
    """
    runs = [RunDir(path) for path in paths]
    stepping = [run for run in runs if run.stepping.exists()]
    try:
        for run in stepping:
            with suppress(OSError):
                run.stop.touch()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not all(_acknowledged(run) for run in stepping):
            time.sleep(_PAUSE)
        return [
            f"checkpoint after step {latest.step} of {STAGES[latest.stage]} in {run.path}"
            for run in runs
            if (latest := latest_position(run.path))
        ]
    finally:
        for run in stepping:
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


def latest_position(path: Path) -> TrainingPosition | None:
    """Position of the newest checkpoint of a run that Ray Train has recorded."""
    try:
        snapshot = json.loads((path / "ray" / "checkpoint_manager_snapshot.json").read_text(encoding="utf-8"))
        return TrainingPosition.read(
            path / "ray" / snapshot["latest_checkpoint_result"]["checkpoint_dir_name"]
        )
    except (OSError, ValueError, TypeError, KeyError):  # not there yet, or half written
        return None


def acknowledge_stop(run: RunDir, position: TrainingPosition) -> None:
    """Called by the first worker once its checkpoint was handed over."""
    run.write_json(run.stop, asdict(position))


def wait_until_killed() -> None:
    """What workers do afterwards: any further step would be lost."""
    while True:
        time.sleep(1)


def clear_stop_request(run: RunDir) -> None:
    """Before the workers start: files that a killed run has left must not stop this one."""
    for path in (run.stop, run.stepping):
        path.unlink(missing_ok=True)


def _acknowledged(run: RunDir) -> bool:
    """The checkpoint is there and recorded, so that a resumed run finds it."""
    with suppress(OSError, ValueError, TypeError):  # the reply is not there yet, or half written
        position = TrainingPosition(**json.loads(run.stop.read_text(encoding="utf-8")))
        return position == latest_position(run.path) or not run.stepping.exists()
    return not run.stepping.exists()
