"""PNG plots of a sweep: best so far, what mattered, settings and outcome, what quality costs.

Optuna's own plots take one study each, and their parallel coordinates cannot be read as a still picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.drawing import (
    COLOURS,
    INK,
    new_figure,
    plain_label,
    plot_style,
    save_figure,
)
from llink_ray.sweeps.objective import Objective
from llink_ray.sweeps.report.analysis import LanguageResults
from llink_ray.sweeps.report.tables import metric_name, metric_text, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_STYLES = ("-", "--", ":")
"""After the colours are used up."""
APART = 4
"""Languages that stand below each other; more share a row, or a picture of their own."""
MOST_SETTINGS = 9
"""That fit beside each other."""
SLOT_COUNT = "slots.count"
QUALITIES = ("answers.exact", "numbers.exact", "retrieval.r1")


def best_so_far(results: Sequence[LanguageResults], path: Path) -> Path | None:
    """Over trials, and over the time that they took; None before one has finished and another ended."""
    results = [result for result in results if result.best and len(result.trials) > 1]
    if not results:
        return None
    with plot_style():
        drawing = new_figure(3.9 + 0.2 * ((len(results) - 1) // 4))
        left, right = drawing.subplots(1, 2, sharey=True)
        for place, result in enumerate(results):
            best = list(accumulate(map(result.score, result.trials), max))
            spent = accumulate(trial.last(result.language, "seconds") or 0.0 for trial in result.trials)
            curve = [
                (number, seconds / 60, result.objective.sign * score)
                for number, (seconds, score) in enumerate(zip(spent, best, strict=True), start=1)
                if score > float("-inf")
            ]
            numbers, minutes, values = zip(*curve, strict=True)
            label = f"{plain_label(result.name)}  {metric_text(result.objective.name, values[-1])}"
            for axes, across in ((left, numbers), (right, minutes)):
                axes.plot(
                    across,
                    values,
                    drawstyle="steps-post",
                    marker=".",
                    color=COLOURS[place % len(COLOURS)],
                    linestyle=LINE_STYLES[place // len(COLOURS) % len(LINE_STYLES)],
                    linewidth=1.5 + 0.45 * max(0, APART - 1 - place),  # equal ones stay visible
                    label=label,
                )
        left.set_ylabel(metric_name(results[0].objective.name))
        left.set_xlabel("trials, in the order in which they began")
        right.set_xlabel("minutes of trials so far, added up")
        left.set_title("Best so far over trials")
        right.set_title("Best so far over time")
        left.locator_params(axis="x", integer=True)
        for axes in (left, right):
            axes.set_xlim(left=0)
        handles, labels = left.get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
        return save_figure(drawing, path)


def importance_bars(shares: Mapping[str, Mapping[str, float]], metric: str, path: Path) -> Path | None:
    """A bar for each setting and language, of their mean where there are many; None without shares."""
    shares = {name: by_setting for name, by_setting in shares.items() if by_setting}
    if not shares:
        return None
    settings = dict.fromkeys(name for by_setting in shares.values() for name in by_setting)
    mean = {name: fmean(by.get(name, 0.0) for by in shares.values()) for name in settings}
    rows = sorted(mean, key=mean.__getitem__)
    bars = shares
    if len(shares) > APART:
        bars = {f"mean of {len(shares)} languages": mean}
    with plot_style():
        drawing = new_figure(1.4 + 0.32 * len(rows) + (0.3 if len(bars) > 1 else 0.0))
        axes = drawing.subplots()
        height = 0.8 / len(bars)
        for place, (label, by_setting) in enumerate(bars.items()):
            offsets = [i + ((len(bars) - 1) / 2 - place) * height for i in range(len(rows))]
            widths = [by_setting.get(name, 0.0) for name in rows]
            axes.barh(offsets, widths, height * 0.9, color=COLOURS[place], label=plain_label(label, 40))
        axes.set_yticks(range(len(rows)), [plain_label(name, 34) for name in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"share in what moved {metric_name(metric)}")
        axes.set_title("What mattered")
        if len(bars) > 1 or len(shares) > APART:
            drawing.legend(loc="outside lower center", ncols=APART)
        return save_figure(drawing, path)


def settings_and_outcome(results: Sequence[LanguageResults], order: Sequence[str], path: Path) -> Path | None:
    """Each setting's values against the figure of the finished trials; None before two have finished.

    ``order``: settings, the most important first. Figures far below the better ones are at the edge.
    """
    scored = [(place, result) for place, result in enumerate(results) if result.scored]
    scores = sorted(result.score(trial) for _, result in scored for trial in result.scored)
    if len(scores) < 2:
        return None
    parameters = results[0].search.config.space.parameters
    keys = [
        key for key in order if len({str(t.config[key]) for _, result in scored for t in result.scored}) > 1
    ]
    keys = keys[:MOST_SETTINGS] or list(order[:1])
    columns = min(3, len(keys))
    quartile = scores[len(scores) // 4]
    lowest = max(scores[0], quartile - (scores[-1] - quartile))
    sign = results[0].objective.sign
    with plot_style():
        drawing = new_figure(0.9 + 1.8 * -(-len(keys) // columns))
        grid = drawing.subplots(-(-len(keys) // columns), columns, sharey=True, squeeze=False)
        for key, axes in zip_longest(keys, grid.flat):
            if key is None:
                axes.set_visible(False)
                continue
            distribution: Any = parameters[key].distribution
            named = hasattr(distribution, "choices")
            ticks = [value_text(choice) for choice in distribution.choices] if named else []
            for place, result in scored:
                values = [trial.config[key] for trial in result.scored]
                across = [ticks.index(value_text(value)) for value in values] if named else values
                figures = [sign * max(lowest, result.score(trial)) for trial in result.scored]
                axes.plot(
                    across, figures, "o", color=COLOURS[place % len(COLOURS)], alpha=0.6, markeredgewidth=0,
                    markersize=5, label=plain_label(result.name),
                )  # fmt: skip
            if named:
                axes.set_xticks(range(len(ticks)), [plain_label(tick, 12) for tick in ticks])
            else:
                low, high = distribution.low, distribution.high
                middle = (low * high) ** 0.5 if distribution.log else (low + high) / 2
                axes.set_xscale("log" if distribution.log else "linear")
                axes.set_xticks([low, middle, high], [value_text(low), f"{middle:.3g}", value_text(high)])
                axes.minorticks_off()
            axes.tick_params(labelsize=8)
            axes.set_xlabel(plain_label(key, 34), color=INK, fontsize=9)
        for row in grid:
            row[0].set_ylabel(metric_name(results[0].objective.name), fontsize=9)
        drawing.suptitle(
            "Settings and outcome of finished trials", x=0.02, ha="left", fontsize=11, weight="bold"
        )
        if len(scored) > 1:
            drawing.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return save_figure(drawing, path)


Pair = tuple[Objective, Objective]
"""What is drawn across, and what up."""


def slot_pairs(results: Sequence[LanguageResults]) -> list[Pair]:
    """Each quality against prompt tokens, or K where no trial has tokens; none where K was not searched."""
    if SLOT_COUNT not in results[0].search.config.space.parameters:
        return []
    tokens, slots = Objective("prompt_tokens"), Objective("slots")
    across = tokens if any(points(result, (tokens, tokens)) for result in results) else slots
    pairs = [(across, Objective(name)) for name in QUALITIES]
    return [pair for pair in pairs if any(points(result, pair) for result in results)]


def points(result: LanguageResults, pair: Pair) -> list[tuple[float, float]]:
    """Of the finished trials that have both figures."""
    values = [(result.value(t, pair[0].name), result.value(t, pair[1].name)) for t in result.trials]
    return [(x, y) for x, y in values if x is not None and y is not None]


def tradeoffs(results: Sequence[LanguageResults], pairs: Sequence[Pair], path: Path) -> list[Path]:
    """A row for each language, a column for each pair; several pictures for many languages."""
    results = [result for result in results if any(points(result, pair) for pair in pairs)]
    drawn = []
    for start in range(0, len(results), APART):
        name = path if not start else path.with_stem(f"{path.stem}-{start // APART + 1}")
        drawn.append(_tradeoffs(results[start : start + APART], pairs, name))
    return drawn


def _tradeoffs(results: Sequence[LanguageResults], pairs: Sequence[Pair], path: Path) -> Path:
    with plot_style():
        drawing = new_figure(1.4 + 2.2 * len(results))
        grid = drawing.subplots(len(results), len(pairs), squeeze=False, sharex="col", sharey="col")
        for result, row in zip(results, grid, strict=True):
            for pair, axes in zip(pairs, row, strict=True):
                _tradeoff(axes, result, pair)
                if result is results[0]:
                    axes.set_title(metric_name(pair[1].name))
                if result is results[-1]:
                    axes.set_xlabel(metric_name(pair[0].name))
            row[0].set_ylabel(plain_label(result.name), color=INK, fontweight="bold")
        handles, labels = grid[0][0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=2)
        return save_figure(drawing, path)


def _tradeoff(axes: Axes, result: LanguageResults, pair: Pair) -> None:
    """All trials faint, the Pareto line over them, with K at its corners where it was searched."""
    from matplotlib.patheffects import withStroke

    across, up = pair
    every = points(result, pair)
    axes.plot(
        *zip(*every, strict=True),
        "o",
        color=COLOURS[0],
        alpha=0.3,
        markeredgewidth=0,
        label="finished trials",
    )
    corners = {
        (result.value(trial, across.name) or 0.0, result.value(trial, up.name) or 0.0): trial.config.get(
            SLOT_COUNT
        )
        for trial in result.pareto(up, across)
    }
    line = sorted(corners)
    counted = any(corners.values())
    axes.plot(
        *zip(*line, strict=True),
        "o-",
        color=COLOURS[1],
        drawstyle="steps-post" if across.sign < 0 else "steps-pre",
        markersize=4.5,
        linewidth=1.4,
        label="Pareto line" + (", with numbers of slots K" if counted else ""),
    )
    for before, corner in zip([None, *line], line, strict=False):
        if counted and not (before and corners[before] == corners[corner]):
            axes.annotate(
                str(corners[corner]),
                corner,
                (-3, 5),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=INK,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
    axes.margins(x=0.1, y=0.12)
