from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest

from llink_ray.evaluation import plots
from llink_ray.evaluation.drawing import smooth

Records = list[dict[str, Any]]


def size(path: Path) -> tuple[int, int]:
    """Width and height in a PNG's head."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    return width, height


def test_every_plot_is_drawn(tmp_path: Path, metrics: dict[str, Any], records: Records) -> None:
    paths = plots.draw(tmp_path / "deep" / "plots", metrics, records)
    assert [path.name for path in paths] == ["loss.png", "retrieval.png", "answers.png"]
    assert all(size(path)[0] == 1600 for path in paths)


def test_loss_has_a_row_for_each_stage(tmp_path: Path, records: Records) -> None:
    one, both = tmp_path / "one.png", tmp_path / "both.png"
    assert plots.loss_curves([r for r in records if r["stage"] == "b"], one) == one
    assert plots.loss_curves(records, both) == both
    assert size(both)[1] == 2 * size(one)[1]


def test_nothing_to_draw_draws_nothing(tmp_path: Path) -> None:
    for metrics in ({}, {"answers": None}, {"answers": {"by_type": {"who": {"count": 0}}}}):
        assert plots.draw(tmp_path / "plots", metrics, []) == []
    bad: Records = [{"stage": "a", "step": 1, "loss": math.nan}, {"stage": "a", "step": 2, "loss": None}, {}]
    assert plots.draw(tmp_path / "plots", {}, bad) == []
    assert not (tmp_path / "plots").exists()


def test_one_record_is_enough(tmp_path: Path) -> None:
    record = {"stage": "a", "step": 3, "loss": 1.0, "loss/norm": 0.0, "validation/r1": 0.5}
    assert len(plots.draw(tmp_path, {}, [record])) == 2


@pytest.mark.parametrize("kind", [r"$\frac$", "$x$", "བོད་སྐད་", "long " * 50, "", "<b>_%"])
def test_any_type_of_question_can_be_drawn_without_a_warning(tmp_path: Path, kind: str) -> None:
    by_type = {kind: {"exact": None, "f1": 0.5, "count": 3}, "who": {"exact": 1.0, "f1": 1.0, "count": 9}}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert plots.answers_by_type({"answers": {"by_type": by_type}}, tmp_path / "answers.png")


def test_many_types_stay_one_picture(tmp_path: Path) -> None:
    heights = []
    for count in (plots.MOST, 5 * plots.MOST):
        by_type = {f"kind {i}": {"exact": 0.5, "f1": 0.5, "count": i + 1} for i in range(count)}
        path = plots.answers_by_type({"answers": {"by_type": by_type}}, tmp_path / f"{count}.png")
        assert path is not None
        heights.append(size(path)[1])
    assert heights[0] == heights[1]


def test_a_series_is_in_order_and_the_last_record_of_a_step_counts() -> None:
    records: Records = [
        {"stage": "a", "step": 2, "loss": 5.0},
        {"stage": "b", "step": 1, "loss": 9.0},
        {"stage": "a", "step": 1, "loss": 4.0},
        {"stage": "a", "step": 2, "loss": 3.0},
        {"stage": "a", "step": 3, "loss": math.inf},
        {"stage": "a", "step": 2, "validation/r1": 0.5},
    ]
    assert plots.series(records, "a", "loss") == ([1, 2], [4.0, 3.0])


def test_the_running_mean_follows_the_start_and_calms_the_rest() -> None:
    assert smooth([5.0] * 9, 5) == [5.0] * 9
    line = [float(i) for i in range(9)]
    assert smooth(line, 5)[:7] == line[:7]
    noise = [(-1.0) ** i for i in range(100)]
    assert max(map(abs, smooth(noise, 11)[10:])) < 0.2


def test_settings_of_the_person_are_left_as_they_were(tmp_path: Path, records: Records) -> None:
    import matplotlib

    before = matplotlib.rcParams["font.size"]
    matplotlib.rcParams["font.size"] = 31.0
    try:
        plots.loss_curves(records, tmp_path / "loss.png")
        assert matplotlib.rcParams["font.size"] == 31.0
    finally:
        matplotlib.rcParams["font.size"] = before
