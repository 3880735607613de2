"""What TensorBoard is given of a sweep."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep_files import row, told, write

from llink_ray.sweeps.report.read import read
from llink_ray.sweeps.report.tensorboard import write_events

R1 = "retrieval.r1"


def events(folder: Path) -> Iterator[Any]:
    """Records of the one file there: length, its check, the event, its check."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    data = path.read_bytes()
    while data:
        length = struct.unpack("<Q", data[:8])[0]
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def rows() -> list[dict[str, Any]]:
    settings = {"slots.count": 8, "stage_a.learning_rate": 0.002, "slots.variant": "mean"}
    return [
        row("bo-0000", {R1: 0.25}, settings, step=50, seconds=5.0),
        row("bo-0000", {R1: 0.5}, settings, step=100, seconds=10.0),
        row("bo-0001", {R1: math.nan}, settings, state="pruned"),
        row("bo-0002", {}, settings, state="failed"),
        row("bo-0003", {R1: 0.1}, settings, state="running"),
    ]


def test_curves_come_by_step_and_the_trials_own_seconds_and_settings_as_hyperparameters(
    tmp_path: Path,
) -> None:
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    sweep = read(write(tmp_path, rows(), **told("bo")))
    assert write_events(sweep, tmp_path / "tensorboard")[0] == tmp_path / "tensorboard" / "bo" / "bo-0000"
    values = [
        (value, event)
        for event in events(tmp_path / "tensorboard" / "bo" / "bo-0000")
        for value in event.summary.value
    ]
    curve = [(e.step, e.wall_time, v.simple_value) for v, e in values if v.tag == R1]
    assert curve == [(50, 5.0, 0.25), (100, 10.0, 0.5)]
    (begun,) = [v for v, _ in values if v.tag == "_hparams_/session_start_info"]
    found = HParamsPluginData.FromString(begun.metadata.plugin_data.content).session_start_info.hparams
    assert found["slots.count"].number_value == 8 and found["slots.variant"].string_value == "mean"


def test_a_trial_is_written_once_when_it_has_ended(tmp_path: Path) -> None:
    sweep = read(write(tmp_path, rows(), **told("bo")))
    folder = tmp_path / "tensorboard"
    (folder / "bo" / ".bo-0000").mkdir(parents=True)  # left by a kill
    (folder / "bo" / ".bo-0000" / "torn").touch()
    assert [path.name for path in write_events(sweep, folder)] == ["bo-0000", "bo-0001"]
    assert len(list(events(folder / "bo" / "bo-0000"))) > 3
    assert write_events(sweep, folder) == []
    assert sorted(path.name for path in (folder / "bo").iterdir()) == ["bo-0000", "bo-0001"]
