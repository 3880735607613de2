"""PNG plots of a comparison: figures with intervals, the judge's preferences, curves by slots and by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llink_ray.evaluation.baselines import OURS, other_counts
from llink_ray.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    PALE,
    category_axis,
    grouped_bars,
    new_figure,
    plain_label,
    plot_style,
    save_figure,
    smooth,
    steps_axis,
)
from llink_ray.evaluation.plots import Records, series
from llink_ray.evaluation.table import format_number
from llink_ray.metrics.intervals import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llink_ray.evaluation.comparison import Baseline
    from llink_ray.evaluation.judge import Summary

_QUALITIES = (
    ("answers exact", "answers", "exact", 3, 1.0),
    ("translation chrF", "answers", "chrf", 1, 100.0),
    ("R@1", "retrieval", "r1", 3, 1.0),
)
"""Title, section and key of the figure, its decimals, and its largest value."""


def figure_bars(baselines: Sequence[Baseline], path: Path) -> Path:
    """R@1, exact answers and right numbers of each system."""
    rows = baselines[::-1]  # from the bottom up
    groups = [
        ("numbers right", PALE, [b.figures["answers"]["numbers"] for b in rows]),
        ("answers exact", COLOURS[1], [b.figures["answers"]["exact"] for b in rows]),
        ("R@1", COLOURS[0], [b.figures["retrieval"]["r1"] for b in rows]),
    ]
    with plot_style():
        fig, _ = grouped_bars([plain_label(b.name) for b in rows], groups, "Held-out text")
        return save_figure(fig, path)


def _interval_bars(axes: Axes, rows: Sequence[tuple[str, float, float, float]], limit: float) -> None:
    """Horizontal bars of (name, share, low, high), from the bottom up."""
    shares = [share for _, share, _, _ in rows]
    errors = [
        [max(0.0, share - low) for _, share, low, _ in rows],
        [max(0.0, high - share) for _, share, _, high in rows],
    ]
    axes.barh(range(len(rows)), shares, 0.55, color=PALE)
    axes.errorbar(
        shares, range(len(rows)), xerr=errors, fmt="o", markersize=4, color=COLOURS[0], capsize=3,
        clip_on=False,
    )  # fmt: skip
    category_axis(axes, [plain_label(label) for label, *_ in rows], limit)


def retrieval_bars(baselines: Sequence[Baseline], path: Path) -> Path:
    """R@1 of each system with its 95 % interval over the held-out pairs."""
    ranked = [(b.name, b.figures["retrieval"]) for b in baselines[::-1]]
    rows = [(name, part["r1"], *wilson(part["r1"], part["count"])) for name, part in ranked]
    with plot_style():
        fig = new_figure(1.5 + 0.42 * len(rows))
        axes = fig.subplots()
        _interval_bars(axes, rows, 1.28)
        for index, (_, share, low, high) in enumerate(rows):
            text = f"{share:.3f}  [{low:.3f}, {high:.3f}]"
            axes.text(1.04, index, text, va="center", fontsize=8, color=GREY)
        axes.spines["bottom"].set_bounds(0, 1)
        axes.set_xlabel("share of held-out pairs whose English comes first, 95 % interval")
        axes.set_title("Retrieval R@1, foreign to English")
        return save_figure(fig, path)


def judge_bars(summaries: Mapping[str, Summary], path: Path) -> Path | None:
    """How often our run was preferred, ties set aside, with the 95 % interval; a line at one half."""
    rows = [(name, s.rate.rate, s.rate.low, s.rate.high) for name, s in summaries.items() if s.rate][::-1]
    if not rows:
        return None
    with plot_style():
        fig = new_figure(1.5 + 0.5 * len(rows))
        axes = fig.subplots()
        _interval_bars(axes, rows, 1.05)
        axes.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
        axes.set_xlabel("share of decided pairs of answers that our run won")
        axes.set_title("Preferred over")
        return save_figure(fig, path)


def by_slot_count(baselines: Sequence[Baseline]) -> dict[int, Baseline]:
    """Ours and those that differ from it in the number of slots alone, by that number."""
    by_count: dict[int, Baseline] = {}
    for baseline in baselines:  # ours comes first and stands for its number
        count = baseline.figures.get("slots")
        if count and baseline.name in (OURS, *other_counts()):
            by_count.setdefault(count, baseline)
    return dict(sorted(by_count.items()))


def slot_count_curves(baselines: Sequence[Baseline], path: Path) -> Path | None:
    """Answers, translations and retrieval by tokens of the prompt, with the number of slots above.

    None with fewer than two numbers of slots.
    """
    by_count = by_slot_count(baselines)
    if len(by_count) < 2:
        return None
    figures = [baseline.figures for baseline in by_count.values()]
    tokens = [part["tokens"]["slots"] for part in figures]
    with plot_style():
        fig = new_figure(6.4)
        rows = fig.subplots(len(_QUALITIES), 1, sharex=True)
        for axes, colour, (title, part, key, digits, best) in zip(rows, COLOURS, _QUALITIES, strict=False):
            values = [f[part][key] for f in figures]
            points = [(x, y) for x, y in zip(tokens, values, strict=True) if y is not None]
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=colour, markersize=4)
            axes.set_ylabel(title)
            if points:
                _annotate(axes, points, digits)
                _set_limits(axes, [y for _, y in points], best)
        rows[-1].set_xlabel("prompt tokens a message, slots included")
        top = rows[0].secondary_xaxis("top")
        top.set_xticks(tokens, [str(count) for count in by_count], color=INK)
        top.set_xlabel("slots K", labelpad=8)
        return save_figure(fig, path)


def _annotate(axes: Axes, points: Sequence[tuple[float, float]], digits: int) -> None:
    """The values beside their points, above and below in turn, since few slots lie close together."""
    from matplotlib.patheffects import withStroke

    for index, (x, y) in enumerate(points):
        axes.annotate(
            format_number(y, digits),
            (x, y),
            (0, 7 if index % 2 else -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=GREY,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _set_limits(axes: Axes, values: Sequence[float], best: float) -> None:
    """Room for the annotations, at least a tenth of the scale, and little beyond 0 and ``best``."""
    low, high = min(values), max(values)
    height = max(best / 10, high - low)
    bottom = max(0.0, min((low + high + height) / 2, best) - height)
    axes.set_ylim(min(low, bottom) - 0.25 * height, max(high, bottom + height) + 0.25 * height)


def stage_a_curves(histories: Mapping[str, Records], path: Path) -> Path | None:
    """Validation R@1 and contrastive loss by step; None where fewer than two trained Stage A.

    The loss's other terms are left out: not all systems have them.
    """
    curves = {
        name: (series(records, "a", "validation/r1"), series(records, "a", "loss/contrastive"))
        for name, records in histories.items()
    }
    curves = {name: (recall, loss) for name, (recall, loss) in curves.items() if recall[0] or loss[0]}
    if len(curves) < 2:
        return None
    with plot_style():
        columns = 4 if len(curves) <= 4 else 3
        fig = new_figure(3.8 + 0.2 * (len(curves) / columns))
        left, right = fig.subplots(1, 2, sharex=True)
        for index, (name, (recall, (steps, loss))) in enumerate(curves.items()):
            colour, dashes = COLOURS[index % len(COLOURS)], ("-", "--")[index // len(COLOURS) % 2]
            label = plain_label(name)
            left.plot(*recall, color=colour, linestyle=dashes, marker="o", markersize=3, label=label)
            right.plot(steps, smooth(loss, max(1, len(loss) // 40)), color=colour, linestyle=dashes)
        left.set_ylim(-0.02, 1.02)
        left.set_title("Stage A: R@1 on validation pairs")
        right.set_title("Stage A: contrastive loss, nats")
        for axes in (left, right):
            steps_axis(axes)
        fig.legend(loc="outside lower center", ncols=columns)
        return save_figure(fig, path)
