"""A comparison for people: tables on the terminal, ``report.md`` with its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from llink_ray.evaluation import comparison_curves, comparison_plots
from llink_ray.evaluation.comparison import Baseline, described, figures_sheet, judge_sheet
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.plots import Records
from llink_ray.evaluation.report import NAME, PLOTS, escape, section
from llink_ray.evaluation.table import Table
from llink_ray.storage.atomic import disk_refused


@dataclass(frozen=True)
class Found:
    """What a comparison came to."""

    contestants: Sequence[Baseline]
    """Ours first."""
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    """Ours against each other, by its name; empty where nobody judged."""
    judge: str = ""
    """Who judged."""
    curves: Mapping[str, Records] = field(default_factory=dict)
    """Histories of those whose Stage A differs, the first of each kind."""

    def sheets(self) -> list[Table]:
        """Figures, and the judge's where there is one."""
        judged = judge_sheet(self.summaries, self.judge)
        return [figures_sheet(self.contestants), *([judged] if judged else [])]


def print_comparison(found: Found) -> None:
    """The tables, to stderr."""
    from rich.console import Console

    from llink_ray.evaluation.terminal import render

    console = Console(stderr=True, highlight=False)
    for sheet in found.sheets():
        console.print(render(sheet), "")


def draw_comparison(folder: Path, found: Found) -> dict[str, Path]:
    """Every plot that there is something for, in ``folder``, by title."""
    drawn = {
        "Figures": comparison_plots.figure_bars(found.contestants, folder / "comparison.png"),
        "Retrieval": comparison_plots.retrieval_bars(found.contestants, folder / "retrieval.png"),
        "Judge": comparison_plots.judge_bars(found.summaries, folder / "judge.png"),
        "Number of slots": comparison_curves.by_slots(found.contestants, folder / "slots.png"),
        "Stage A": comparison_curves.stage_a(found.curves, folder / "stage_a.png"),
    }
    return {title: path for title, path in drawn.items() if path is not None}


def write_comparison(folder: Path, title: str, found: Found) -> Path:
    """Write ``report.md`` and ``plots/`` into ``folder``; returns the report's path.

    Raises:
        JobFailed: the disk refused.
    """
    try:
        drawn = draw_comparison(folder / PLOTS, found)
        lines = [f"# {escape(title)}: comparison", ""]
        lines += [f"- *{escape(c.name)}*: {escape(described(c.name))}" for c in found.contestants] + [""]
        for sheet in found.sheets():
            lines += section(sheet)
        lines += ["## Plots", ""]
        for name, path in drawn.items():
            lines += [f"![{name}]({PLOTS}/{quote(path.name)})", ""]
        report = folder / NAME
        report.write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise disk_refused("the comparison's", folder, error, "name another place with --output") from error
    return report
