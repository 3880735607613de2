"""PNG plots of a run: loss curves, retrieval by step, answers by type.

1 600 pixels wide, set to be read at 800. Each function returns the path it wrote, or None where the
records hold nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.drawing import (
    COLOURS,
    PALE,
    Points,
    grouped_bars,
    legend_below,
    line,
    new_figure,
    plain_label,
    plot_style,
    save_figure,
    steps_axis,
)
from llink_ray.evaluation.run_tables import sort_kinds
from llink_ray.evaluation.table import format_number, humanize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Records = Sequence[Mapping[str, Any]]

MOST = 30
"""Types of question that fit in one picture."""


def series(records: Records, stage: str, key: str) -> Points:
    """Steps and values of one figure in one stage, by step; the last record of a step counts."""
    points = {
        int(record["step"]): float(record[key])
        for record in records
        if record.get("stage") == stage and record.get("step") is not None and record.get(key) is not None
    }
    steps = sorted(step for step, value in points.items() if math.isfinite(value))
    return steps, [points[step] for step in steps]


def _parts(records: Records, stage: str) -> dict[str, Points]:
    names = sorted({key for r in records if r.get("stage") == stage for key in r if key.startswith("loss/")})
    parts = {name.removeprefix("loss/"): series(records, stage, name) for name in names}
    return {name: points for name, points in parts.items() if points[0]}


def _draw_parts(axes: Axes, parts: Mapping[str, Points]) -> None:
    """On a log scale where all are positive, since parts of a loss differ by orders of magnitude."""
    for colour, (name, points) in zip(COLOURS * len(parts), parts.items(), strict=False):
        line(axes, points, colour, humanize(name))
    values = [value for _, part in parts.values() for value in part]
    if min(values) > 0 and max(values) > 30 * min(values):
        axes.set_yscale("log")
    legend_below(axes, 3)


def loss_curves(history: Records, path: Path) -> Path | None:
    """A row for each stage that has losses: the loss on the left, its parts on the right."""
    stages = [stage for stage in ("a", "b") if series(history, stage, "loss")[0]]
    if not stages:
        return None
    with plot_style():
        fig = new_figure(3.4 * len(stages))
        grid = fig.subplots(len(stages), 2, squeeze=False)
        for (left, right), stage in zip(grid, stages, strict=True):
            line(left, series(history, stage, "loss"), COLOURS[0], "training")
            left.set_title(f"Stage {stage.upper()}: loss")
            left.set_ylabel("nats")
            held_out = series(history, stage, "validation/loss")
            if held_out[0]:
                left.plot(*held_out, "o--", color=COLOURS[1], markersize=4, linewidth=1, label="validation")
                legend_below(left, 2)
            steps_axis(left)
            parts = _parts(history, stage)
            if not parts:
                right.set_axis_off()
                continue
            _draw_parts(right, parts)
            right.set_title(f"Stage {stage.upper()}: parts of the loss")
            steps_axis(right)
        return save_figure(fig, path)


def retrieval_by_step(history: Records, path: Path) -> Path | None:
    """Recalls and MRR on the validation pairs while Stage A trains."""
    names = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mrr": "MRR"}
    curves = {label: series(history, "a", f"validation/{key}") for key, label in names.items()}
    curves = {label: points for label, points in curves.items() if points[0]}
    if not curves:
        return None
    with plot_style():
        fig = new_figure(3.8)
        axes = fig.subplots()
        for colour, (label, points) in zip(COLOURS, curves.items(), strict=False):
            last = f"{label}  {format_number(points[1][-1])}"
            axes.plot(*points, color=colour, marker="o", markersize=4, label=last)
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel("share of validation pairs")
        axes.set_title("Stage A: retrieval, foreign to English")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="last value", alignment="left")
        steps_axis(axes)
        return save_figure(fig, path)


def answers_by_type(metrics: Mapping[str, Any], path: Path) -> Path | None:
    """Exact match and F1 of each type of question (the most frequent ones), with how many were asked."""
    by_type = (metrics.get("answers") or {}).get("by_type") or {}
    parts = {kind: part for kind, part in by_type.items() if part.get("count")}
    if not parts:
        return None
    most = sorted(parts, key=lambda kind: -int(parts[kind]["count"]))[:MOST]
    kinds = sort_kinds(most)[::-1]  # from the bottom up
    labels = [f"{plain_label(humanize(kind))}  ({format_number(parts[kind]['count'])})" for kind in kinds]
    groups = [
        (label, colour, [parts[kind].get(key) for kind in kinds])
        for key, label, colour in (("f1", "F1", PALE), ("exact", "exact match", COLOURS[0]))
    ]
    with plot_style():
        fig, axes = grouped_bars(labels, groups, "Answers on held-out text")
        axes.set_xlabel("share of answers (number asked in brackets)")
        return save_figure(fig, path)


def draw(directory: Path, metrics: Mapping[str, Any], history: Records) -> list[Path]:
    """Every plot that the run's records can fill, in ``directory``."""
    paths = (
        loss_curves(history, directory / "loss.png"),
        retrieval_by_step(history, directory / "retrieval.png"),
        answers_by_type(metrics, directory / "answers.png"),
    )
    return [path for path in paths if path is not None]
