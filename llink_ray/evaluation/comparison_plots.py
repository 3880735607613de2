"""PNG plots of a comparison: figures of each contestant, and the judge's preferences with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llink_ray.evaluation.comparison import Baseline
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
from llink_ray.evaluation.intervals import wilson
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.table import format_number


def figure_bars(contestants: Sequence[Baseline], path: Path) -> Path:
    """R@1, exact answers and right numbers of each contestant."""
    rows = list(contestants)[::-1]  # drawn from the bottom up
    shown = [
        ("numbers right", PALE, -0.27, [c.figures["answers"]["numbers"] for c in rows]),
        ("answers exact", COLOURS[1], 0.0, [c.figures["answers"]["exact"] for c in rows]),
        ("R@1", COLOURS[0], 0.27, [c.figures["retrieval"]["r1"] for c in rows]),
    ]
    with plot_style():
        fig = new_figure(1.6 + 0.75 * len(rows))
        axes = fig.subplots()
        for label, colour, shift, values in shown:
            places = [i + shift for i in range(len(rows))]
            bars = axes.barh(places, [value or 0.0 for value in values], 0.25, color=colour, label=label)
            axes.bar_label(
                bars, [format_number(value) for value in values], padding=3, fontsize=8, color=GREY
            )
        axes.set_yticks(range(len(rows)), [plain_label(c.name) for c in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.1)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        axes.set_title("Held-out text")
        handles, names = axes.get_legend_handles_labels()
        fig.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=3)
        return save_figure(fig, path)


def retrieval_bars(contestants: Sequence[Baseline], path: Path) -> Path:
    """R@1 of each contestant with its 95 % interval over the held-out pairs."""
    rows = list(contestants)[::-1]  # drawn from the bottom up
    found = [(c.figures["retrieval"]["r1"], c.figures["retrieval"]["count"]) for c in rows]
    bounds = [wilson(share, count) for share, count in found]
    reach = [
        [max(0.0, share - low) for (share, _), (low, _) in zip(found, bounds, strict=True)],
        [max(0.0, high - share) for (share, _), (_, high) in zip(found, bounds, strict=True)],
    ]
    with plot_style():
        fig = new_figure(1.5 + 0.42 * len(rows))
        axes = fig.subplots()
        places = range(len(rows))
        axes.barh(places, [share for share, _ in found], 0.55, color=PALE)
        axes.errorbar(
            [share for share, _ in found],
            places,
            xerr=reach,
            fmt="o",
            markersize=4,
            color=COLOURS[0],
            capsize=3,
            clip_on=False,
        )
        for place, (share, _), (low, high) in zip(places, found, bounds, strict=True):
            told = f"{share:.3f}  [{low:.3f}, {high:.3f}]"
            axes.text(1.04, place, told, va="center", fontsize=8, color=GREY)
        axes.set_yticks(places, [plain_label(c.name) for c in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.28)
        axes.spines["bottom"].set_bounds(0, 1)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        axes.set_xlabel("share of held-out pairs whose English comes first, 95 % interval")
        axes.set_title("Retrieval R@1, foreign to English")
        return save_figure(fig, path)


def judge_bars(summaries: Mapping[str, Summary], path: Path) -> Path | None:
    """How often our run was preferred, ties set aside, with the 95 % interval; a line at one half."""
    decided = [(name, found.rate) for name, found in summaries.items() if found.rate is not None][::-1]
    if not decided:
        return None
    rates = [rate.rate for _, rate in decided]
    reach = [
        [rate.rate - rate.low for _, rate in decided],
        [rate.high - rate.rate for _, rate in decided],
    ]
    with plot_style():
        fig = new_figure(1.5 + 0.5 * len(decided))
        axes = fig.subplots()
        axes.barh(range(len(decided)), rates, 0.5, color=PALE)
        axes.errorbar(rates, range(len(decided)), xerr=reach, fmt="o", color=COLOURS[0], capsize=4)
        axes.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
        axes.set_yticks(range(len(decided)), [plain_label(name) for name, _ in decided], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.05)
        axes.set_ylim(-0.6, len(decided) - 0.4)
        axes.set_xlabel("share of decided contests that our run won")
        axes.set_title("Preferred over")
        return save_figure(fig, path)
