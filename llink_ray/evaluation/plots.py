"""PNG plots of a run: loss curves, retrieval by step, answers by type.

1 600 pixels wide, set to be read at 800. Each function returns the path it wrote, or None where the
records hold nothing to draw. matplotlib is imported late, and without pyplot: no global state is touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    PALE,
    Points,
    legend_below,
    line,
    new_figure,
    plain_label,
    plot_style,
    save_figure,
    steps_axis,
)
from llink_ray.evaluation.table import format_number, humanize, in_order

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
    found = {name.removeprefix("loss/"): series(records, stage, name) for name in names}
    return {name: points for name, points in found.items() if points[0]}


def _draw_parts(axes: Axes, parts: Mapping[str, Points]) -> None:
    """Parts of a loss differ by orders of magnitude: on a log scale where all are positive."""
    for colour, (name, points) in zip(COLOURS * len(parts), parts.items(), strict=False):
        line(axes, points, colour, humanize(name))
    values = [value for _, found in parts.values() for value in found]
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
    found = {label: series(history, "a", f"validation/{key}") for key, label in names.items()}
    found = {label: points for label, points in found.items() if points[0]}
    if not found:
        return None
    with plot_style():
        fig = new_figure(3.8)
        axes = fig.subplots()
        for colour, (label, points) in zip(COLOURS, found.items(), strict=False):
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
    found = {kind: part for kind, part in by_type.items() if part.get("count")}
    if not found:
        return None
    often = sorted(found, key=lambda kind: -int(found[kind]["count"]))[:MOST]
    kinds = in_order(often)[::-1]  # drawn from the bottom up
    with plot_style():
        fig = new_figure(1.4 + 0.5 * len(kinds))
        axes = fig.subplots()
        for key, label, colour, shift in (
            ("f1", "F1", PALE, -0.19),
            ("exact", "exact match", COLOURS[0], 0.19),
        ):
            values = [found[kind].get(key) for kind in kinds]
            places = [i + shift for i in range(len(kinds))]
            bars = axes.barh(places, [value or 0.0 for value in values], 0.36, color=colour, label=label)
            axes.bar_label(
                bars, [format_number(value) for value in values], padding=3, fontsize=8, color=GREY
            )
        labels = [f"{plain_label(humanize(kind))}  ({format_number(found[kind]['count'])})" for kind in kinds]
        axes.set_yticks(range(len(kinds)), labels, color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.1)
        axes.set_ylim(-0.6, len(kinds) - 0.4)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        axes.set_xlabel("share of answers (number asked in brackets)")
        axes.set_title("Answers on held-out text")
        handles, names = axes.get_legend_handles_labels()
        fig.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=2)
        return save_figure(fig, path)


def draw(directory: Path, metrics: Mapping[str, Any], history: Records) -> list[Path]:
    """Every plot that the run's records can fill, in ``directory``."""
    made = (
        loss_curves(history, directory / "loss.png"),
        retrieval_by_step(history, directory / "retrieval.png"),
        answers_by_type(metrics, directory / "answers.png"),
    )
    return [path for path in made if path is not None]
