"""PNG plots of a sweep: best so far, and one setting beside each language's own best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llink_ray.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    PALE,
    new_figure,
    plain_label,
    plot_style,
    save_figure,
)
from llink_ray.sweeps.report.data import Objective, Sweep, called
from llink_ray.sweeps.report.labels import measured, named
from llink_ray.sweeps.report.selection import Shared, best, progress, worth_showing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

LINES = ("-", "--", ":")
"""After the colours are used up."""
APART = 4
"""Languages that stand below each other in a row; more share it."""


def colour_of(languages: Sequence[str], language: str) -> tuple[str, str]:
    """A language's colour and kind of line, the same in every plot."""
    place = languages.index(language)
    return COLOURS[place % len(COLOURS)], LINES[place // len(COLOURS) % len(LINES)]


def best_so_far(sweep: Sweep, path: Path) -> Path | None:
    """Over trials, and over the time that they took; None before one has finished and another ended."""
    languages = [code for code in sweep.languages if best(sweep, code) and len(sweep.of(code)) > 1]
    if not languages:
        return None
    longest = max(progress(sweep, code).seconds[-1] for code in languages)
    unit, name = (
        (3_600, "hours") if longest > 10_800 else (60, "minutes") if longest > 180 else (1, "seconds")
    )
    with plot_style():
        drawing = new_figure(3.9 + 0.2 * ((len(languages) - 1) // 4))
        left, right = drawing.subplots(1, 2, sharey=True)
        shown: list[float] = []
        few = len(languages) <= APART  # more languages' dots would hide their lines
        for place, language in enumerate(languages):
            found, (colour, dashes) = progress(sweep, language), colour_of(sweep.languages, language)
            scores = [trial.score(sweep.main.name) for trial in sweep.of(language)]
            shown += [score for score in (scores if few else found.values) if score is not None]
            places = [float(i + 1) for i in range(len(scores))]
            for axes, across in ((left, places), (right, [seconds / unit for seconds in found.seconds])):
                steps = [(x, y) for x, y in zip(across, found.values, strict=True) if y is not None]
                label = f"{plain_label(called(language))}  {measured(sweep.main.name, steps[-1][1])}"
                axes.plot(
                    [x for x, _ in steps],
                    [y for _, y in steps],
                    drawstyle="steps-post",
                    color=colour,
                    linestyle=dashes,
                    linewidth=1.5
                    + 0.45 * (len(languages) - 1 - place if few else 0),  # equal ones stay visible
                    label=label,
                )
                dots = [(x, y) for x, y in zip(across, scores, strict=True) if few and y is not None]
                where = [x for x, _ in dots], [y for _, y in dots]
                axes.plot(*where, ".", color=colour, markersize=4, alpha=0.45)
        ends = [value for code in languages if (value := progress(sweep, code).values[-1]) is not None]
        beyond = _frame(left, shown, ends, sweep.main)
        if few and beyond:
            _tell(left, beyond, sweep.main)
        left.set_ylabel(named(sweep.main.name))
        left.set_xlabel("trials, in the order in which they began")
        right.set_xlabel(f"{name} of trials so far, added up")
        left.set_title("Best so far over trials")
        right.set_title("Best so far over time")
        _whole_numbers(left)
        right.set_xlim(left=0)
        handles, names = left.get_legend_handles_labels()
        drawing.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
        return save_figure(drawing, path)


def _whole_numbers(axes: Axes) -> None:
    """No half trials below the axis."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))


def _frame(axes: Axes, values: Sequence[float], ends: Sequence[float], objective: Objective) -> int:
    """What is worth telling apart, ``ends`` in any case; how many values lie beyond.

    A search's far-off failures would press the rest together.
    """
    low, high = worth_showing(values, objective.sign)
    low, high = min(low, *ends), max(high, *ends)
    room = 0.06 * (high - low or abs(high) or 1.0)
    axes.set_ylim(low - room, high + room)
    return sum(not low <= value <= high for value in values)


def _tell(axes: Axes, beyond: int, objective: Objective) -> None:
    """How many trials lie where nothing is drawn, and on which side."""
    under = objective.sign > 0
    axes.text(
        0.98,
        0.02 if under else 0.98,
        f"{beyond} {'trial' if beyond == 1 else 'trials'} {'below' if under else 'above'}",
        transform=axes.transAxes,
        ha="right",
        va="bottom" if under else "top",
        fontsize=8,
        color=GREY,
    )


def joint_choice(sweep: Sweep, chosen: Shared, path: Path) -> Path:
    """Each language's finished trials, its own best, and the setting chosen for all."""
    metric, sign = sweep.main.name, sweep.main.sign
    rows = sweep.languages[::-1]  # drawn from the bottom up
    scores = {code: [s for t in sweep.of(code) if (s := t.score(metric)) is not None] for code in rows}
    commons = {code: s for code in rows if (s := chosen.trials[code].score(metric)) is not None}
    shown = [value for values in scores.values() for value in values]
    low, high = worth_showing(shown, sign)
    low, high = min(low, *commons.values()), max(high, *commons.values())
    with plot_style():
        drawing = new_figure(1.7 + 0.5 * len(rows))
        axes = drawing.subplots()
        for place, code in enumerate(rows):
            known = [value for value in scores[code] if low <= value <= high]
            own, common = max(known, key=lambda value: sign * value), commons[code]
            axes.plot(known, [place] * len(known), "|", color=PALE, markersize=11, markeredgewidth=1.4)
            axes.plot([own, common], [place, place], color=COLOURS[1], linewidth=1.6)
            axes.plot([own], [place], "o", color=COLOURS[0], markersize=8, zorder=3)
            axes.plot(
                [common], [place], "D", color=COLOURS[1], markersize=6, zorder=4, markeredgecolor="white"
            )
            told = f"{measured(metric, common)} of {measured(metric, own)}"
            axes.text(
                1.02, place, told, va="center", fontsize=8, color=GREY, transform=axes.get_yaxis_transform()
            )
        axes.set_yticks(range(len(rows)), [plain_label(called(code)) for code in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(rows) - 0.4)
        beyond = sum(not low <= value <= high for value in shown)
        axes.set_xlabel(named(metric) + (f"; farther off, not shown: {beyond}" if beyond else ""))
        axes.set_title("One setting for all, beside each language's own best")
        drawing.legend(
            _marks(),
            ["finished trials", "its own best", "one setting for all"],
            loc="outside lower center",
            ncols=3,
        )
        return save_figure(drawing, path)


def _marks() -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="", marker=mark, color=colour, markersize=7, markeredgewidth=width)
        for mark, colour, width in (("|", PALE, 1.4), ("o", COLOURS[0], 0), ("D", COLOURS[1], 0))
    ]
