"""Where a run's figures go besides its history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cluster_runs import settings

from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.trackers import Trackers
from llink_ray.training import history

VARIABLES = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI")
FIRST = {"stage": "a", "step": 1, "loss": 2.0, "gradient_norm": 0.5}
SECOND = {"stage": "b", "step": 1, "loss": None, "loss/usage": 1.0, "throughput/step_seconds": 0.1}
WANDB = """
import json, os, pathlib

class Run:
    def __init__(self, **asked):
        self.path = pathlib.Path(asked["dir"]) / "wandb.jsonl"
        self.write({key: asked[key] for key in ("project", "id", "resume")})
    def write(self, record):
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\\n")
    def define_metric(self, name, step_metric):
        self.write({name: step_metric})
    def log(self, record):
        if "stage_b/loss/usage" in record:
            raise ConnectionError("the network is gone")
        self.write(record)
    def finish(self):
        self.write("finished")

init = Run
"""


@pytest.fixture(autouse=True)
def nothing_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def scalars(run: RunDir) -> list[tuple[str, int, float]]:
    """Tag, step and value of every figure in the event files."""
    from tensorboardX.event_file_writer import EventsWriter  # noqa: F401  # the writer's own format
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted((run.path / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            data = data[16 + length :]
    return found


def test_tensorboard_holds_every_step_once_also_of_a_resumed_run(tmp_path: Path) -> None:
    run, said = RunDir(tmp_path), list[str]()
    first = Trackers(run, settings(), said.append)
    for step in (1, 2, 3):
        first.log({**FIRST, "step": step})
    first.close()
    history.append(run.history, {**FIRST, "step": 1})  # the others were lost with a worker
    second = Trackers(run, settings(), said.append)
    second.log({**FIRST, "step": 2})
    second.log(SECOND)
    second.close()
    assert scalars(run) == [
        *[(f"stage_a/{name}", step, FIRST[name]) for step in (1, 2) for name in ("loss", "gradient_norm")],
        ("stage_b/loss/usage", 1, 1.0),
        ("stage_b/throughput/step_seconds", 1, pytest.approx(0.1)),
    ]
    assert said == [] and {path.name for path in tmp_path.iterdir()} == {"tensorboard", history.NAME}


def test_a_tracker_that_is_set_up_but_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    Trackers(RunDir(tmp_path), settings(), said.append).close()
    assert said == [
        "MLFLOW_TRACKING_URI is set, but mlflow is not installed: nothing is sent; pip install mlflow"
    ]


def test_a_tracker_that_fails_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    packages, run = tmp_path / "packages", RunDir(tmp_path / "bo-tiny-1")
    packages.mkdir()
    run.path.mkdir()
    (packages / "wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("WANDB_MODE", "offline")
    trackers = Trackers(run, settings(), said.append)
    trackers.log(FIRST)
    trackers.log(SECOND)
    trackers.log({**FIRST, "step": 2})
    trackers.close()
    started, *rules, logged = map(json.loads, (run.path / "wandb.jsonl").read_text().splitlines())
    assert started == {"project": "llink_ray", "id": "bo-tiny-1", "resume": "allow"}
    assert rules == [{"stage_a/*": "stage_a/step"}, {"stage_b/*": "stage_b/step"}]
    assert logged == {"stage_a/loss": 2.0, "stage_a/gradient_norm": 0.5, "stage_a/step": 1}
    assert said == ["W&B gets no more figures: ConnectionError: the network is gone"]
    assert ("stage_a/loss", 2, 2.0) in scalars(run), "the others go on"
