"""What mattered in a sweep, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from llink_ray.evaluation.drawing import COLOURS, GREY, INK, new_figure, plain_label, plot_style, save_figure
from llink_ray.sweeps.report.data import Sweep, called
from llink_ray.sweeps.report.importance import Importance
from llink_ray.sweeps.report.labels import named
from llink_ray.sweeps.report.plots import APART, colour_of


def importance_dots(sweep: Sweep, found: Mapping[str, Mapping[str, Importance]], path: Path) -> Path | None:
    """A row for each setting, a dot for each language, with its interval where there are few languages.

    None where there is nothing to tell.
    """
    found = {code: shares for code, shares in found.items() if shares}
    if not found:
        return None
    settings = list(dict.fromkeys(name for shares in found.values() for name in shares))
    means = {
        name: fmean(shares[name].share for shares in found.values() if name in shares) for name in settings
    }
    rows = sorted(settings, key=means.__getitem__)
    few = len(found) <= APART
    with plot_style():
        drawing = new_figure(1.7 + (max(0.34, 0.16 * len(found)) if few else 0.34) * len(rows))
        axes = drawing.subplots()
        for place, (code, shares) in enumerate(found.items()):
            colour, _ = colour_of(sweep.languages, code) if few else (COLOURS[0], "")
            shift = ((len(found) - 1) / 2 - place) * 0.2 if few else 0.0
            here = [(i + shift, shares[name]) for i, name in enumerate(rows) if name in shares]
            for y, one in here if few else []:
                axes.plot([one.low, one.high], [y, y], color=colour, alpha=0.35, linewidth=2.4)
            label = plain_label(called(code)) if few else "a language" if not place else None
            axes.plot(
                [one.share for _, one in here],
                [y for y, _ in here],
                "o",
                color=colour,
                markersize=6,
                markeredgewidth=0,
                alpha=1.0 if few else 0.4,
                label=label,
            )
        if not few:
            axes.plot([means[name] for name in rows], range(len(rows)), "D", color=COLOURS[1], label="mean")
        axes.axvline(1 / len(rows), color=GREY, linewidth=1, linestyle="--")
        axes.annotate(
            "if all counted alike",
            (1 / len(rows), 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
            ha="left",
            va="bottom",
        )
        axes.set_yticks(range(len(rows)), [plain_label(name, 34) for name in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"share in what moved {named(sweep.main.name)}")
        axes.set_title("What mattered", pad=18)
        if len(found) > 1:
            drawing.legend(loc="outside lower center", ncols=APART)
        return save_figure(drawing, path)
