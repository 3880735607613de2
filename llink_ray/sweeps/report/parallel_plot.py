"""Parallel coordinates of a sweep: a line for each trial, through its settings to what it came to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.drawing import COLOURS, GREY, INK, new_figure, plain_label, plot_style, save_figure
from llink_ray.evaluation.table import humanize
from llink_ray.sweeps.report.data import FAILED, FINISHED, Objective, Sweep, Trial, called
from llink_ray.sweeps.report.labels import measured, named, told
from llink_ray.sweeps.report.selection import best, worth_showing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

MOST = 9
"""Settings that fit beside each other."""
RATIO = 30
"""Positive values that reach this many times the least are drawn by ratio, where no space says so."""
BELOW = -0.08
"""Where a trial runs that lacks the setting, or the outcome."""
UNFINISHED = "#cdd2d6"
SHADES = ("#bcd6ee", COLOURS[0], "#0a1f3c")
"""Worst to best of the finished trials, told apart by lightness alone."""


@dataclass(frozen=True)
class Scale:
    """One upright axis."""

    title: str
    place: Callable[[Any], float]
    """Height of a value, 0 to 1."""
    ticks: Sequence[tuple[float, str]]
    """Heights and what stands there."""


def parallel(sweep: Sweep, language: str, order: Sequence[str], path: Path) -> Path | None:
    """``order``: settings, the most important first.

    None without finished trials, or where no setting varied.
    """
    metric, chosen = sweep.main.name, best(sweep, language)
    trials = [trial for trial in sweep.of(language) if trial.state != FAILED]
    names = [name for name in order if len({repr(t.settings.get(name)) for t in trials}) > 1][:MOST]
    if chosen is None or not names:
        return None
    names = names[::-1]  # the most important beside the objective
    finished = [value for trial in trials if (value := trial.score(metric)) is not None]
    low, high = worth_showing(finished, sweep.main.sign)
    scales = [*(_setting(sweep, name, trials) for name in names), _outcome(sweep.main, finished, low, high)]
    with plot_style():
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        shades = SHADES if sweep.main.sign > 0 else SHADES[::-1]
        palette = LinearSegmentedColormap.from_list("blues", shades)
        colours = Normalize(low, high if high > low else low + 1e-9, clip=True)
        drawing = new_figure(4.4)
        axes = drawing.subplots()
        lacking = False
        for trial in sorted(trials, key=lambda t: (t is chosen, sweep.main.sign * (t.score(metric) or 0.0))):
            score = trial.score(metric)
            values = [*map(trial.settings.get, names), score]
            heights = [BELOW if v is None else s.place(v) for v, s in zip(values, scales, strict=True)]
            lacking |= BELOW in heights
            if score is None:
                _curve(axes, heights, UNFINISHED, linewidth=0.8, zorder=1, alpha=0.7)
            elif trial is not chosen:
                _curve(axes, heights, palette(colours(score)), linewidth=1.5, zorder=2, alpha=0.9)
            else:
                _curve(axes, heights, "white", linewidth=5, zorder=3)
                _curve(axes, heights, COLOURS[1], linewidth=2.6, zorder=4)
        _uprights(axes, scales, BELOW if lacking else 0.0)
        axes.set_title(plain_label(f"{called(language)}: a line for each trial", 80), pad=26)
        _legend(axes, {trial.state for trial in trials} - {FINISHED})
        _colour_bar(drawing, axes, colours, palette, metric)
        return save_figure(drawing, path)


def _curve(axes: Axes, heights: Sequence[float], colour: Any, **how: Any) -> None:
    """Through all heights, level where it crosses an axis, so that lines can be followed."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Line

    points, codes = [(0.0, heights[0])], [Line.MOVETO]
    for place, (one, other) in enumerate(pairwise(heights)):
        points += [(place + 0.4, one), (place + 0.6, other), (place + 1.0, other)]
        codes += [Line.CURVE4] * 3
    axes.add_patch(PathPatch(Line(points, codes), facecolor="none", edgecolor=colour, **how))


def _setting(sweep: Sweep, name: str, trials: Sequence[Trial]) -> Scale:
    """By value or by ratio over the range searched; by place for words and for a few numbers."""
    values = [trial.settings[name] for trial in trials if name in trial.settings]
    given = sweep.ranges.get(name, {})
    title = _title(name)
    different = list(dict.fromkeys(values))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and (len(different) > 7 or given.get("low") is not None):
        bounds = [value for value in (given.get("low"), given.get("high")) if isinstance(value, int | float)]
        low, high = min([*values, *bounds]), max([*values, *bounds])
        by_ratio = bool(given.get("log")) if given else high > RATIO * low
        return _numbers(title, low, high, by_ratio and low > 0, all(isinstance(v, int) for v in values))
    steps = sorted(different) if numbers else sorted(different, key=str)
    places = {value: 0.5 if len(steps) == 1 else i / (len(steps) - 1) for i, value in enumerate(steps)}
    return Scale(
        title, places.__getitem__, [(places[v], plain_label(told(v).rpartition("/")[2], 12)) for v in steps]
    )


def _title(name: str) -> str:
    """The sections on lines of their own, the rest folded."""
    *sections, rest = name.split(".")
    return "\n".join(plain_label(line, 14) for line in [*sections, *wrap(humanize(rest), 11)])


def _numbers(title: str, low: float, high: float, by_ratio: bool, whole: bool) -> Scale:
    from matplotlib.ticker import LogLocator, MaxNLocator

    turn: Callable[[float], float] = math.log if by_ratio else float
    reach = turn(high) - turn(low) or 1.0

    def place(value: float) -> float:
        return (turn(value) - turn(low)) / reach

    decades = math.log10(high / low) if by_ratio else 0.0
    parts = (1.0,) if decades > 4 else (1.0, 3.0) if decades > 1.6 else (1.0, 2.0, 5.0)
    locator = LogLocator(subs=parts, numticks=20) if by_ratio else MaxNLocator(5, integer=whole)
    if by_ratio and whole and decades < 4:  # widths and counts are thought of in powers of two
        ticks = [2.0**i for i in range(64) if low <= 2**i <= high]
    else:
        ticks = [float(tick) for tick in locator.tick_values(low, high)]
    inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9) or low == tick]
    return Scale(title, place, [(place(tick), told(tick)) for tick in inside])


def _outcome(objective: Objective, values: Sequence[float], low: float, high: float) -> Scale:
    """The objective's axis: its far-off values stand at the end."""
    from matplotlib.ticker import MaxNLocator

    reach = high - low

    def place(value: float) -> float:
        return min(1.0, max(0.0, (value - low) / reach)) if reach else 0.5

    ticks = [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    far = low if objective.sign > 0 else high
    digits = max((len(f"{tick:g}".partition(".")[2]) for tick in ticks), default=0)
    apart = [tick for tick in ticks if not reach or abs(tick - far) > 0.06 * reach]
    shown = [(place(tick), f"{tick:.{digits}f}") for tick in apart]
    beyond = any(not low <= value <= high for value in values)
    sign = ("≤ " if objective.sign > 0 else "≥ ") if beyond else ""
    shown.append((place(far), sign + measured(objective.name, far)))
    return Scale("\n".join(wrap(named(objective.name), 12)), place, shown)


def _uprights(axes: Axes, scales: Sequence[Scale], lowest: float) -> None:
    from matplotlib.patheffects import withStroke

    stroke = [withStroke(linewidth=2.6, foreground="white")]
    for x, scale in enumerate(scales):
        axes.plot([x, x], [0, 1], color=GREY, linewidth=0.8, zorder=5)
        last = x == len(scales) - 1
        for height, label in scale.ticks:
            axes.plot([x], [height], "_", color=GREY, markersize=5, zorder=5)
            axes.annotate(
                label,
                (x, height),
                (5 if last else -4, 0),
                textcoords="offset points",
                va="center",
                ha="left" if last else "right",
                fontsize=7,
                color=INK,
                zorder=6,
                path_effects=stroke,
            )
    axes.set_xlim(-0.45, len(scales) - 1 + 0.1)
    axes.set_ylim(lowest - 0.03, 1.04)
    small = 8 if len(scales) <= 8 else 7
    axes.set_xticks(range(len(scales)), [scale.title for scale in scales], fontsize=small, color=INK)
    axes.tick_params(axis="x", length=0)
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _legend(axes: Axes, others: set[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=COLOURS[1], linewidth=2.6, label="best")]
    if others:
        label = f"{' or '.join(sorted(others))}, without a result"
        handles.append(Line2D([], [], color=UNFINISHED, linewidth=1.4, label=label))
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1, ncols=2)


def _colour_bar(drawing: Figure, axes: Axes, colours: Normalize, palette: Colormap, metric: str) -> None:
    from matplotlib.cm import ScalarMappable

    bar = drawing.colorbar(ScalarMappable(colours, palette), ax=axes, pad=0.08, fraction=0.03, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label(f"{named(metric)} of finished trials", fontsize=8)
    bar.ax.tick_params(labelsize=7)
