"""Small runs: a minute each, most of it start-up; every step in the history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from llink_ray.cluster.train_language import TrainingTask
from llink_ray.settings import Settings, configure
from llink_ray.text.languages import find
from llink_ray.training import history

ROOT = Path(__file__).parents[2]
STEPS = {"a": 60, "b": 20}
SMALL: dict[str, Any] = {
    "corpus": {"pairs": 1_200},
    "stage_a": {"steps": STEPS["a"], "evaluate_every": 20, "batch_size": 128},
    "stage_b": {
        "steps": STEPS["b"],
        "evaluate_every": 10,
        # A tenth of the paper's rates: at those, sums in another order part two curves by .01 in ten steps.
        "lora_learning_rate": 1e-5,
        "slot_learning_rate": 3e-6,
        "scale_learning_rate": 5e-5,
    },
    "checkpoint": {"every_steps": 5, "log_every": 1},
    "evaluation": {
        "retrieval_pairs": 100,
        "answers": 22,
        "translations": 4,
        "gain_examples": 16,
        "max_new_tokens": 16,
    },
    "cluster": {"cpus_per_worker": 0.5},
}


def settings(*assignments: str, preset: str = "tiny") -> Settings:
    """Settings of a small run."""
    layers = configure.layers(preset, None, [])
    return configure.resolve(*layers, SMALL, *map(configure.assignment, assignments))


def task(
    run_dir: Path,
    store: Path,
    *assignments: str,
    language: str = "tibetan",
    preset: str = "tiny",
    registry: Path | None = None,
) -> TrainingTask:
    """A small run to be taught in ``run_dir``."""
    return TrainingTask(
        find(language),
        settings(*assignments, preset=preset),
        run_dir,
        str(store),
        str(registry) if registry else None,
    )


def losses(run_dir: Path, stage: str, part: str = "loss") -> list[float]:
    """Loss of every step of a stage, or a part of it, once each and in order."""
    records = [r for r in history.read(run_dir / history.NAME) if r["stage"] == stage]
    assert [r["step"] for r in records] == list(range(1, STEPS[stage] + 1))
    return [r[part] for r in records]


def apart(one: Iterable[float], other: Iterable[float]) -> float:
    """Largest difference of two curves."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def figures(document: Mapping[str, Any]) -> dict[str, float]:
    """Every figure that training decides, by its path in the document."""

    def walk(tree: Any, path: str) -> Iterator[tuple[str, float]]:
        if isinstance(tree, Mapping):
            for key, value in tree.items():
                yield from walk(value, f"{path}.{key}")
        elif isinstance(tree, int | float):
            yield path, float(tree)

    parts = ("retrieval", "answers", "slot_gain", "tokens")
    return dict(pair for part in parts for pair in walk(document[part], part))


def same_outcome(one: Mapping[str, Any], other: Mapping[str, Any], tolerance: float = 1e-3) -> None:
    """Two runs came to the same: figures, and the loss of every step."""
    mine, theirs = figures(one), figures(other)
    assert mine.keys() == theirs.keys() and len(mine) > 20
    assert {k: (mine[k], theirs[k]) for k in mine if abs(mine[k] - theirs[k]) > tolerance} == {}
    for stage in STEPS:
        assert apart(*(losses(Path(run["run_dir"]), stage) for run in (one, other))) <= tolerance


def checkpointed(run_dir: Path) -> tuple[str, int] | None:
    """(stage, step) of the newest checkpoint that Ray Train knows of."""
    try:
        snapshot = json.loads((run_dir / "ray" / "checkpoint_manager_snapshot.json").read_text())
        name = snapshot["latest_checkpoint_result"]["checkpoint_dir_name"]
        place = json.loads((run_dir / "ray" / name / "place.json").read_text())
    except (OSError, ValueError, TypeError):  # not there yet, or half written
        return None
    return place["stage"], place["step"]


def train_workers() -> list[psutil.Process]:
    """Processes of Ray Train workers below this one, the first worker first."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.pid)


def wait_for(what: Callable[[], Any], seconds: float, pause: float = 0.02) -> Any:
    """The first true value of ``what()``; nothing when the time is up."""
    deadline = time.monotonic() + seconds
    while not (value := what()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value


def alive(processes: Iterable[psutil.Process]) -> list[str]:
    """Names of those that still run."""
    names = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                names.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return names


class Killer(threading.Thread):
    """Kills a Ray Train worker some steps behind a checkpoint, and marks what was in the history then."""

    def __init__(self, run_dir: Path, stage: str) -> None:
        super().__init__(daemon=True)
        self.run_dir, self.stage = run_dir, stage
        self.history = run_dir / history.NAME
        self.done = threading.Event()
        self.checkpoint = 0
        """Step of the checkpoint that was known before the kill."""
        self.killed_at: tuple[str, int] | None = None
        """Last step in the history when the workers were gone."""

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()

    def kept(self) -> list[int]:
        """Steps of the stage that were in the history at the kill and were not done again."""
        return [r["step"] for r in history.read(self.history) if r["stage"] == self.stage and "marked" in r]

    def run(self) -> None:
        while not self.done.wait(0.01):
            there, records = checkpointed(self.run_dir), history.read(self.history)
            last = (records[-1]["stage"], records[-1]["step"]) if records else ("", 0)
            if there and there[0] == last[0] == self.stage and there < last:
                self.checkpoint, workers = there[1], train_workers()
                workers[-1].kill()
                psutil.wait_procs(workers, 60)  # its partners fail at the next step; new ones take seconds
                self._mark()
                return

    def _mark(self) -> None:
        """A record stays as it is until its step is done again: the mark goes with it."""
        records = history.read(self.history)
        self.killed_at = records[-1]["stage"], records[-1]["step"]
        fresh = self.history.with_suffix(".marked")
        for record in records:
            history.append(fresh, {**record, "marked": True})
        fresh.replace(self.history)


def environment(**more: str) -> dict[str, str]:
    """Environment of a process that knows nothing of this one's Ray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def settings_file(folder: Path) -> Path:
    """``--settings`` of a small run."""
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return file


_NOHUP = ("sh", "-c", 'trap "" INT; exec nohup "$@"', "sh")
"""As ``nohup … &`` in a script starts it."""


class Job:
    """``python jobs/train.py``, or another, as a person starts it, with a Ray of its own."""

    def __init__(self, folder: Path, *flags: str, name: str = "train", ignores_ctrl_c: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.out, self.err = folder / "stdout", folder / "stderr"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [*_NOHUP * ignores_ctrl_c, sys.executable, f"jobs/{name}.py", *flags],
                cwd=ROOT,
                env=environment(),
                stdout=out,
                stderr=err,
                start_new_session=True,  # so that Ctrl-C reaches what it would reach at a terminal
            )

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        left = self.started()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def started(self) -> list[psutil.Process]:
        """Processes below this job's."""
        try:
            children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
            return children
        except psutil.NoSuchProcess:
            return []

    def until(self, what: Callable[[], Any], seconds: float = 240) -> None:
        """Wait for something to come true while the job runs."""
        wait_for(lambda: self.process.poll() is not None or what(), seconds, pause=0.01)
        assert self.process.poll() is None, self.err.read_text()
        assert what(), self.err.read_text()

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def document(self, seconds: float = 400) -> dict[str, Any]:
        """Wait for a good end; what the one line on stdout says."""
        assert self.process.wait(seconds) == 0, self.err.read_text()
        (line,) = self.out.read_text().splitlines()
        document: dict[str, Any] = json.loads(line)
        return document
