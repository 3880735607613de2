"""An insight as one PNG: attention of answer tokens on slots and other parts, similarities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.attention import PARTS
from llink_ray.evaluation.drawing import GREY, INK, STYLE, new_figure, plain_label, plot_style, save_figure
from llink_ray.evaluation.insight import Insight
from llink_ray.evaluation.insight_tables import SHORT_NAMES, show_token

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40
"""Answer tokens that fit in one picture."""
NUMBERED = 8
"""Up to this many rows and columns, matrices have their figures in them."""


@cache
def _letters() -> frozenset[int]:
    """Code points that the drawing's font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(STYLE["font.family"])).get_charmap())


def drawable(text: str, longest: int = 16) -> str:
    """Text on one line in letters that the font has, a box for each that it lacks."""
    letters = _letters()
    return plain_label("".join(c if ord(c) in letters else "□" for c in show_token(text, longest)), longest)


def _heat(
    axes: Axes, values: Sequence[Sequence[float]], colours: str, low: float, high: float, numbers: str
) -> Any:
    """A heat map; ``numbers`` is the format of the figure in each cell, or nothing."""
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if numbers:
        middle, reach = (low + high) / 2, (high - low) / 2
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                dark = value > middle if low >= 0 else abs(value - middle) > 0.7 * reach
                colour = "white" if dark else INK
                axes.text(x, y, format(value, numbers), ha="center", va="center", fontsize=7, color=colour)
    return image


def _numbers(axes: Axes, count: int, which: str) -> None:
    """1 to ``count`` along an axis, thinned where they would run together."""
    places = range(0, count, 1 + (count - 1) // 12)
    set_ticks = axes.set_xticks if which == "x" else axes.set_yticks
    set_ticks(list(places), [str(i + 1) for i in places])


def _draw_attention(part: Figure, result: Insight) -> None:
    """Slots on a scale of their own, as the instruction has far higher shares; other parts beside."""
    count, shown = len(result.slots), result.attention[:MOST]
    left, right = part.subplots(1, 2, width_ratios=(8, 5))
    slots = [row[:count] for row in shown]
    high = max(max(map(max, slots)), 1e-6)
    image = _heat(left, slots, "Blues", 0.0, high, "z.2f" if count <= NUMBERED else "")
    part.colorbar(image, ax=left, pad=0.02, fraction=0.05, aspect=30).outline.set_visible(False)
    cut = f", first {MOST} of {len(result.attention)}" if len(result.attention) > MOST else ""
    left.set_title(f"Attention on slots{cut}")
    left.set_xlabel("slot")
    _numbers(left, count, "x")
    names = [drawable(token) for token in result.answer_tokens[:MOST]]
    left.set_yticks(range(len(shown)), names, color=INK, fontsize=8)
    left.set_ylabel("answer token")
    _heat(right, [row[count:] for row in shown], "Blues", 0.0, 1.0, "z.2f")
    right.set_title("on other parts")
    right.set_xticks(range(len(PARTS)), [SHORT_NAMES[name] for name in PARTS])
    right.set_yticks([])


def _draw_cosines(axes: Axes, cosines: Sequence[Sequence[float]], title: str, label: str) -> Any:
    size = len(cosines)
    image = _heat(axes, cosines, "RdBu_r", -1.0, 1.0, "z.2f" if size <= NUMBERED else "")
    axes.set_aspect("equal")
    axes.set_title(title)
    axes.set_xlabel(label)
    _numbers(axes, size, "x")
    _numbers(axes, size, "y")
    return image


def draw_insight(result: Insight, path: Path) -> Path:
    """Write the PNG, 1 600 pixels wide, and return its path. Foreign letters are not drawn."""
    with plot_style():
        upper = 1.3 + 0.28 * min(len(result.attention), MOST) if result.attention else 0.7
        fig = new_figure(upper + 4.0)
        fig.suptitle(
            f"{drawable(result.instruction, 90)}\n→ {drawable(result.answer, 86)}".replace("·", " "),
            x=0.02,
            ha="left",
            fontsize=10,
            color=INK,
        )
        above, below = fig.subfigures(2, 1, squeeze=False, height_ratios=(upper, 3.6))[:, 0]
        if result.attention:
            _draw_attention(above, result)
        else:
            missing = drawable(f"No attention: {result.attention_missing}", 100).replace("·", " ")
            above.text(0.02, 0.5, missing, color=GREY)
        left, right = below.subplots(1, 2)
        over = f", mean of {len(result.between)} texts" if result.others else ""
        image = _draw_cosines(left, result.within, f"Similarity of slots{over}", "slot")
        if result.others:
            _draw_cosines(right, result.between, "Similarity of texts", "text (1 is the one asked about)")
        else:
            right.set_axis_off()
        whose = [left, right] if result.others else [left]
        below.colorbar(image, ax=whose, pad=0.02, aspect=30, label="cosine").outline.set_visible(False)
        return save_figure(fig, path)
