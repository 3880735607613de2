"""The style of the plots and what several of them draw; without pyplot, so no global state is touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llink_ray.evaluation.table import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = tuple[list[int], list[float]]
"""Steps, and a value for each."""

WIDTH = 8.0
"""Inches."""
DPI = 200
INK, GREY, FAINT, PALE = "#1f2933", "#6b7680", "#e3e7ea", "#b9cfe6"
COLOURS = ("#2563a8", "#d1701c", "#2f8f5b", "#a83a5e", "#7a5cab", "#8a6d1f", "#3a8f9e")
"""Distinguishable in print and for most colour-blind readers; the first is the main line."""
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.dpi": DPI,
}


@contextmanager
def plot_style() -> Iterator[None]:
    """This style, whatever the user's own matplotlib settings are."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(height: float) -> Figure:
    """An empty figure, ``height`` inches high."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the PNG, its folder too, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path


def plain_label(text: str, longest: int = 24) -> str:
    """Text cut to fit, and without the mathematics that matplotlib reads between two dollar signs."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred running mean; the window shrinks towards the start, where losses fall fastest."""
    half = window // 2
    means = []
    for i in range(len(values)):
        part = values[max(0, i - half) : i + min(half, i) + 1]
        means.append(sum(part) / len(part))
    return means


def line(axes: Axes, points: Points, colour: str, label: str) -> None:
    """A curve: a long one as its running mean over the faint raw values, a very short one with dots."""
    steps, values = points
    window = len(values) // 40
    if window >= 3:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        values = smooth(values, window)
    marker = "o" if len(steps) <= 12 else ""
    axes.plot(steps, values, color=colour, label=plain_label(label), marker=marker, markersize=4)


def steps_axis(axes: Axes) -> None:
    """Steps from left to right, whole numbers with thousands apart."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))


def legend_below(axes: Axes, columns: int) -> None:
    """A legend below the axes, where no curve runs through it."""
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, handlelength=1.4, columnspacing=1.2
    )


def category_axis(axes: Axes, labels: Sequence[str], limit: float) -> None:
    """For horizontal bars at 0, 1, ... of shares up to 1: a plain label for each, from the bottom up."""
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, limit)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def grouped_bars(
    labels: Sequence[str], groups: Sequence[tuple[str, str, Sequence[float | None]]], title: str
) -> tuple[Figure, Axes]:
    """Horizontal bars of shares, from the bottom up; ``groups``: legend entry, colour, a value a label."""
    figure = new_figure(1.4 + (0.1 + 0.2 * len(groups)) * len(labels))
    axes = figure.subplots()
    for index, (name, colour, values) in enumerate(groups):
        shift = 0.8 * (index - (len(groups) - 1) / 2) / len(groups)
        centres = [i + shift for i in range(len(labels))]
        bars = axes.barh(
            centres, [value or 0.0 for value in values], 0.76 / len(groups), color=colour, label=name
        )
        axes.bar_label(bars, [format_number(value) for value in values], padding=3, fontsize=8, color=GREY)
    category_axis(axes, labels, 1.1)
    axes.set_title(title)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=len(groups))
    return figure, axes
