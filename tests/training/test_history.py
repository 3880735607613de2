from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llink_ray.errors import LlinkError
from llink_ray.training import history


def write(path: Path, *records: dict[str, object]) -> None:
    for record in records:
        history.append(path, record)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run" / history.NAME
    records = [{"stage": "a", "step": 1, "loss": 0.5}, {"stage": "b", "step": 2, "note": "བོད\nline"}]
    write(path, *records)
    assert history.read(path) == records


def test_no_file_and_an_empty_file_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / history.NAME
    assert history.read(path) == []
    path.touch()
    assert history.read(path) == []
    write(path, {"step": 1})
    assert history.read(path) == [{"step": 1}]


def test_scalars_of_numpy_and_torch_and_what_is_not_finite(tmp_path: Path) -> None:
    import torch

    path = tmp_path / history.NAME
    write(path, {"a": np.float32(0.5), "b": torch.tensor(2), "c": math.nan, "d": np.float64("inf")})
    assert history.read(path) == [{"a": 0.5, "b": 2, "c": None, "d": None}]
    assert "NaN" not in path.read_text()  # other readers know no such JSON


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(st.text(max_size=6), min_size=1, max_size=4), st.integers(0, 400))
def test_a_cut_anywhere_loses_at_most_the_last_record(notes: list[str], cut: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / history.NAME
        records = [{"step": i, "note": note} for i, note in enumerate(notes)]
        write(path, *records)
        data = path.read_bytes()
        whole = data[:cut].count(b"\n")
        path.write_bytes(data[:cut])
        survivors = history.read(path)
        assert survivors == records[: len(survivors)]
        assert whole <= len(survivors) <= whole + 1
        history.append(path, {"step": 99})
        assert history.read(path) == [*survivors, {"step": 99}]


@pytest.mark.parametrize("line", ["{broken", "[1, 2]", "7", "\xff"])
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / history.NAME
    path.write_bytes(b'{"step": 1}\n' + line.encode("latin-1") + b'\n{"step": 3}\n')
    with pytest.raises(LlinkError, match="line 2"):
        history.read(path)


def test_rewind_forgets_later_steps_and_later_stages(tmp_path: Path) -> None:
    path = tmp_path / history.NAME
    kept = [{"stage": "a", "step": 10}, {"stage": "a", "step": 20, "loss": 1.5}]
    write(path, *kept, {"stage": "a", "step": 30}, {"stage": "b", "step": 5})
    assert history.rewind(path, "a", 20) == kept
    assert history.read(path) == kept
    assert [p.name for p in tmp_path.iterdir()] == [history.NAME]


def test_rewind_to_a_later_stage_keeps_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / history.NAME
    write(path, {"stage": "a", "step": 600}, {"stage": "b", "step": 5}, {"stage": "b", "step": 6})
    assert [r["step"] for r in history.rewind(path, "b", 5)] == [600, 5]
    assert [r["step"] for r in history.rewind(path, "b", 0)] == [600]


def test_rewind_past_the_end_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / history.NAME
    assert history.rewind(path, "a", 3) == []
    write(path, {"stage": "a", "step": 1})
    path.write_bytes(path.read_bytes() + b'{"stage": "a", "st')
    before = path.read_bytes()
    assert history.rewind(path, "a", 3) == [{"stage": "a", "step": 1}]
    assert path.read_bytes() == before
    history.append(path, {"stage": "a", "step": 4})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 4]
