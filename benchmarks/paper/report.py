"""Tables and plots of ``make paper-table`` as Markdown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.evaluation.comparison import described, judge_table
from llink_ray.evaluation.comparison_report import ComparisonResult, draw_comparison
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.report import PLOTS, escape, section
from llink_ray.evaluation.table import Table
from paper.figures import Document, mean_baseline, pooled_summary, spread_over
from paper.plan import Step
from paper.tables import COLUMNS, by_language, by_system
from paper.targets import Target, targets_table


@dataclass(frozen=True)
class MeasuredPart:
    """One part of the plan: its steps, and every comparison they made."""

    steps: Sequence[Step]
    by_language: Mapping[str, Sequence[Document]]

    @property
    def names(self) -> Sequence[str]:
        """The systems, ours first."""
        return self.steps[0].systems

    @property
    def documents(self) -> list[Document]:
        """Of all languages and seeds."""
        return [document for documents in self.by_language.values() for document in documents]

    def summaries(self) -> dict[str, Summary]:
        """Ours against each other, all comparisons together."""
        summaries = {name: pooled_summary(self.documents, name) for name in self.names[1:]}
        return {name: summary for name, summary in summaries.items() if summary is not None}

    def figures(self) -> dict[str, Any]:
        """Mean and spread of every system, for scripts."""
        return {
            name: {
                key: asdict(spread)
                for _, key, _ in COLUMNS
                if (spread := spread_over(self.documents, name, key))
            }
            for name in self.names
        }


def draw(folder: Path, part: MeasuredPart) -> dict[str, Path]:
    """Plots over languages and seeds, and Stage A of the first comparison, by title."""
    means = [mean_baseline(part.documents, name) for name in part.names]
    drawn = draw_comparison(folder, ComparisonResult(means, part.summaries(), "reference"))
    curves = part.steps[0].comparison / PLOTS / "stage_a.png"
    if curves.is_file():
        drawn["Stage A"] = Path(shutil.copyfile(curves, folder / curves.name))
    return drawn


def collect(steps: Sequence[Step]) -> dict[str, MeasuredPart]:
    """What is measured, by part.

    Raises:
        LlinkError: a comparison that is missing, or a damaged one.
    """
    by_part: dict[str, dict[str, list[Document]]] = {}
    for step in steps:
        document = step.document()
        if document is None:
            raise LlinkError(f"{step.comparison} holds no finished comparison: leave out --tables-only")
        by_part.setdefault(step.part, {}).setdefault(step.language, []).append(document)
    return {
        name: MeasuredPart([step for step in steps if step.part == name], documents)
        for name, documents in by_part.items()
    }


def body(
    parts: Mapping[str, MeasuredPart],
    targets: Sequence[Target],
    intro: Sequence[str],
    plots: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Lines of Markdown, headings from ``##`` on; ``plots`` are addresses by part and title."""
    main = parts["table"]
    tables = [targets_table(targets), by_system("Systems", main.documents, main.names)]
    judged = judge_table(main.summaries(), "reference")
    tables += [judged] if judged else []
    tables.append(by_language(main.by_language, main.names))
    lines = ["## The paper's table", "", *intro, ""]
    lines += [line for table in tables for line in _section(table)] + _images(plots["table"])
    if part := parts.get("seeds"):
        lines += _section(by_system("Other seeds", part.documents, part.names))
    if part := parts.get("ablations"):
        lines += _section(by_system("Ablations", part.documents, part.names))
        lines += [f"- *{escape(name)}*: {escape(described(name))}" for name in part.names] + [""]
        lines += _images(plots["ablations"])
    return lines


def _section(table: Table) -> list[str]:
    heading, *rest = section(table)
    return [f"#{heading}", *rest]


def _images(addresses: Mapping[str, str]) -> list[str]:
    return [line for title, address in addresses.items() for line in (f"![{title}]({address})", "")]


def page(lines: Sequence[str]) -> str:
    """A page of its own, headings from ``#`` on."""
    return "\n".join(re.sub(r"^#(#+ )", r"\1", line) for line in lines)
