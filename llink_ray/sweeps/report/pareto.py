"""What quality costs: figures against each other over a sweep's finished trials, with the Pareto line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llink_ray.evaluation.drawing import COLOURS, INK, new_figure, plain_label, plot_style, save_figure
from llink_ray.sweeps.report.data import FINISHED, Objective, Sweep, Trial, called
from llink_ray.sweeps.report.labels import named
from llink_ray.sweeps.report.selection import front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNT = "slots.count"
SLOTS, TOKENS = Objective("slots", "min"), Objective("prompt_tokens", "min")
QUALITIES = ("answers.exact", "numbers.exact", "retrieval.r1")
MOST = 4
"""Languages in one picture."""


@dataclass(frozen=True)
class Pair:
    """One figure against another."""

    across: Objective
    up: Objective


@dataclass(frozen=True, order=True)
class Point:
    """One finished trial."""

    x: float
    y: float
    count: int | None = None
    """K, where it was searched."""


def points(sweep: Sweep, language: str, pair: Pair) -> list[Point]:
    """Of the finished trials that have both figures."""
    found = []
    for trial in sweep.of(language, FINISHED):
        x, y = _value(trial, pair.across.name), _value(trial, pair.up.name)
        if x is not None and y is not None:
            found.append(Point(x, y, _count(trial)))
    return found


def line(found: Sequence[Point], pair: Pair) -> list[Point]:
    """Points that no other surpasses in both figures, from left to right, equal ones once."""
    kept = front([(pair.across.sign * point.x, pair.up.sign * point.y) for point in found])
    return sorted({(found[i].x, found[i].y): found[i] for i in kept}.values())


def _value(trial: Trial, metric: str) -> float | None:
    """The figure; K is known even where no trial told it."""
    value = trial.score(metric)
    count = _count(trial)
    return float(count) if value is None and metric == SLOTS.name and count is not None else value


def _count(trial: Trial) -> int | None:
    count = trial.settings.get(COUNT)
    return int(count) if isinstance(count, int | float) else None


def slot_pairs(sweep: Sweep) -> list[Pair]:
    """Each quality against prompt tokens, or against K where no trial told tokens; none with one K alone."""
    if len({count for trial in sweep.trials if (count := _count(trial)) is not None}) < 2:
        return []
    cost = TOKENS if any(trial.score(TOKENS.name) is not None for trial in sweep.trials) else SLOTS
    pairs = [Pair(cost, Objective(name)) for name in QUALITIES]
    return [pair for pair in pairs if any(points(sweep, code, pair) for code in sweep.languages)]


def objective_pairs(sweep: Sweep) -> list[Pair]:
    """The first objective against each of the others."""
    return [Pair(other, sweep.main) for other in sweep.objectives[1:]]


def fronts(sweep: Sweep, pairs: Sequence[Pair], path: Path) -> list[Path]:
    """A row for each language, a column for each pair; several pictures for many languages."""
    rows = [code for code in sweep.languages if any(points(sweep, code, pair) for pair in pairs)]
    parts = [rows[i : i + MOST] for i in range(0, len(rows), MOST)]
    names = [path if not i else path.with_stem(f"{path.stem}-{i + 1}") for i in range(len(parts))]
    return [_draw(sweep, part, pairs, name) for part, name in zip(parts, names, strict=True)]


def _draw(sweep: Sweep, rows: Sequence[str], pairs: Sequence[Pair], path: Path) -> Path:
    with plot_style():
        drawing = new_figure(1.4 + 2.2 * len(rows))
        grid = drawing.subplots(len(rows), len(pairs), squeeze=False, sharex="col", sharey="col")
        for code, pictures in zip(rows, grid, strict=True):
            for pair, axes in zip(pairs, pictures, strict=True):
                _picture(axes, points(sweep, code, pair), pair)
                if code == rows[0]:
                    axes.set_title(named(pair.up.name))
                if code == rows[-1]:
                    axes.set_xlabel(named(pair.across.name))
            pictures[0].set_ylabel(plain_label(called(code)), color=INK, fontweight="bold")
        for pair, axes in zip(pairs, grid[0], strict=True):
            bottom, top = axes.get_ylim()
            if all(point.y >= 0 for code in rows for point in points(sweep, code, pair)):
                axes.set_ylim(max(bottom, -0.05 * top), top)  # no share is below nothing
            if pair.up.name in QUALITIES:  # or above one: what is there is room for a label
                bottom, top = axes.get_ylim()
                axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= min(top, 1 + 1e-9)])
        handles, names = grid[0][0].get_legend_handles_labels()
        drawing.legend(handles, names, loc="outside lower center", ncols=2)
        return save_figure(drawing, path)


def _picture(axes: Axes, found: Sequence[Point], pair: Pair) -> None:
    """All trials faint, the Pareto line over them, with K at its corners."""
    from matplotlib.patheffects import withStroke

    kept = line(found, pair)
    several = len({point.count for point in found}) > 1
    axes.plot(
        [point.x for point in found],
        [point.y for point in found],
        "o",
        color=COLOURS[0],
        alpha=0.3,
        markersize=4.5,
        markeredgewidth=0,
        label="finished trials",
    )
    axes.plot(
        [point.x for point in kept],
        [point.y for point in kept],
        "o-",
        color=COLOURS[1],
        drawstyle="steps-post" if pair.across.sign < 0 else "steps-pre",
        markersize=4.5,
        linewidth=1.4,
        label="Pareto line" + (", with numbers of slots K" if several else ""),
    )
    for before, point in zip([None, *kept], kept, strict=False):
        if several and not (before and before.count == point.count):
            axes.annotate(
                str(point.count),
                (point.x, point.y),
                (-3, 5),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=INK,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
    axes.margins(x=0.1, y=0.12)
