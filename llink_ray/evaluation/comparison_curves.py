"""PNG plots of a comparison that are curves: quality by number of slots, Stage A of each contestant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llink_ray.evaluation.baselines import OURS, other_counts
from llink_ray.evaluation.comparison import Baseline
from llink_ray.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    Points,
    new_figure,
    plain_label,
    plot_style,
    save_figure,
    smooth,
    steps_axis,
)
from llink_ray.evaluation.plots import Records, series
from llink_ray.evaluation.table import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUALITIES = (
    ("answers exact", "answers", "exact", 3, 1.0),
    ("translation chrF", "answers", "chrf", 1, 100.0),
    ("R@1", "retrieval", "r1", 3, 1.0),
)
"""Title, where the figure stands, its decimals, and the best there can be."""


def counts(contestants: Sequence[Baseline]) -> dict[int, Baseline]:
    """Ours and those that differ from it in the number of slots alone, by that number."""
    found: dict[int, Baseline] = {}
    for contestant in contestants:  # ours comes first, and stands for its number
        number = contestant.figures.get("slots")
        if number and contestant.name in (OURS, *other_counts()):
            found.setdefault(number, contestant)
    return dict(sorted(found.items()))


def by_slots(contestants: Sequence[Baseline], path: Path) -> Path | None:
    """Answers, translations and retrieval by tokens of the prompt, with the number of slots above.

    None with fewer than two numbers of slots.
    """
    found = counts(contestants)
    if len(found) < 2:
        return None
    tokens = [c.figures["tokens"]["slots"] for c in found.values()]
    with plot_style():
        fig = new_figure(6.4)
        rows = fig.subplots(len(_QUALITIES), 1, sharex=True)
        for axes, colour, (title, part, key, digits, best) in zip(rows, COLOURS, _QUALITIES, strict=False):
            values = [c.figures[part][key] for c in found.values()]
            known = [(x, y) for x, y in zip(tokens, values, strict=True) if y is not None]
            axes.plot([x for x, _ in known], [y for _, y in known], "o-", color=colour, markersize=4)
            axes.set_ylabel(title)
            if known:
                _label(axes, known, digits)
                _frame(axes, [y for _, y in known], best)
        rows[-1].set_xlabel("prompt tokens a message, slots included")
        top = rows[0].secondary_xaxis("top")
        top.set_xticks(tokens, [str(number) for number in found], color=INK)
        top.set_xlabel("slots K", labelpad=8)
        return save_figure(fig, path)


def _label(axes: Axes, points: Sequence[tuple[float, float]], digits: int) -> None:
    """The values beside their points, above and below in turn, since few slots lie close together."""
    from matplotlib.patheffects import withStroke

    for place, (x, y) in enumerate(points):
        axes.annotate(
            format_number(y, digits),
            (x, y),
            (0, 7 if place % 2 else -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=GREY,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _frame(axes: Axes, values: Sequence[float], best: float) -> None:
    """Room for the labels, at least a tenth of the scale, and little beyond 0 and the best there can be."""
    low, high = min(values), max(values)
    height = max(best / 10, high - low)
    bottom = max(0.0, min((low + high + height) / 2, best) - height)
    axes.set_ylim(min(low, bottom) - 0.25 * height, max(high, bottom + height) + 0.25 * height)


def stage_a(curves: Mapping[str, Records], path: Path) -> Path | None:
    """Validation R@1 and contrastive loss by step; None where fewer than two trained Stage A.

    The loss's other terms are left out: not all contestants have them.
    """
    found = {
        name: (series(records, "a", "validation/r1"), series(records, "a", "loss/contrastive"))
        for name, records in curves.items()
    }
    found = {name: both for name, both in found.items() if both[0][0] or both[1][0]}
    if len(found) < 2:
        return None
    with plot_style():
        columns = 4 if len(found) <= 4 else 3
        fig = new_figure(3.8 + 0.2 * (len(found) / columns))
        left, right = fig.subplots(1, 2, sharex=True)
        for place, (name, (recall, loss)) in enumerate(found.items()):
            colour, dashes = COLOURS[place % len(COLOURS)], ("-", "--")[place // len(COLOURS) % 2]
            shown = plain_label(name)
            left.plot(*recall, color=colour, linestyle=dashes, marker="o", markersize=3, label=shown)
            right.plot(*_calm(loss), color=colour, linestyle=dashes)
        left.set_ylim(-0.02, 1.02)
        left.set_title("Stage A: R@1 on validation pairs")
        right.set_title("Stage A: contrastive loss, nats")
        for axes in (left, right):
            steps_axis(axes)
        fig.legend(loc="outside lower center", ncols=columns)
        return save_figure(fig, path)


def _calm(points: Points) -> Points:
    steps, values = points
    return steps, smooth(values, max(1, len(values) // 40))
