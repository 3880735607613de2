"""A comparison's tables on the terminal, and ``report.md`` with its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from llink_ray.evaluation import comparison_plots as plots
from llink_ray.evaluation.comparison import Baseline, described, figures_table, judge_table
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.plots import Records
from llink_ray.evaluation.report import NAME, PLOTS, escape, section
from llink_ray.evaluation.table import Table
from llink_ray.storage.atomic import disk_refused


@dataclass(frozen=True)
class ComparisonResult:
    """Everything that a comparison's report shows."""

    baselines: Sequence[Baseline]
    """Ours first."""
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    """Ours against each other, by its name; empty where nobody judged."""
    judge: str = ""
    """Who judged."""
    histories: Mapping[str, Records] = field(default_factory=dict)
    """Histories of those whose Stage A differs, the first of each kind."""

    def tables(self) -> list[Table]:
        """Figures, and the judge's where there is one."""
        judged = judge_table(self.summaries, self.judge)
        return [figures_table(self.baselines), *([judged] if judged else [])]


def draw_comparison(folder: Path, result: ComparisonResult) -> dict[str, Path]:
    """Every plot that there is something for, in ``folder``, by title."""
    paths = {
        "Figures": plots.figure_bars(result.baselines, folder / "comparison.png"),
        "Retrieval": plots.retrieval_bars(result.baselines, folder / "retrieval.png"),
        "Judge": plots.judge_bars(result.summaries, folder / "judge.png"),
        "Number of slots": plots.slot_count_curves(result.baselines, folder / "slots.png"),
        "Stage A": plots.stage_a_curves(result.histories, folder / "stage_a.png"),
    }
    return {title: path for title, path in paths.items() if path is not None}


def write_comparison(folder: Path, title: str, result: ComparisonResult) -> Path:
    """Write ``report.md`` and ``plots/`` into ``folder``; returns the report's path.

    Raises:
        JobFailed: the disk refused.
    """
    try:
        drawn = draw_comparison(folder / PLOTS, result)
        lines = [f"# {escape(title)}: comparison", ""]
        lines += [f"- *{escape(b.name)}*: {escape(described(b.name))}" for b in result.baselines] + [""]
        for table in result.tables():
            lines += section(table)
        lines += ["## Plots", ""]
        for name, path in drawn.items():
            lines += [f"![{name}]({PLOTS}/{quote(path.name)})", ""]
        report = folder / NAME
        report.write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise disk_refused("the comparison's", folder, error, "name another place with --output") from error
    return report
