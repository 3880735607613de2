"""Tables and plots of ``make paper-table`` as Markdown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.evaluation.comparison import described, judge_sheet
from llink_ray.evaluation.comparison_report import Found, draw_comparison
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.report import PLOTS, escape, section
from llink_ray.evaluation.table import Table
from paper.bars import Bar, bars_sheet
from paper.figures import Document, averaged, over, pooled
from paper.plan import Step
from paper.sheets import COLUMNS, by_contestant, by_language


@dataclass(frozen=True)
class Measured:
    """One part: its steps, and every comparison they made."""

    steps: Sequence[Step]
    by_language: Mapping[str, Sequence[Document]]

    @property
    def documents(self) -> list[Document]:
        """Of all languages and seeds."""
        return [document for told in self.by_language.values() for document in told]

    def judged(self) -> dict[str, Summary]:
        """Ours against each other, all comparisons together."""
        names = self.steps[0].contestants[1:]
        return {name: one for name in names if (one := pooled(self.documents, name)) is not None}

    def figures(self) -> dict[str, Any]:
        """Mean and spread of every contestant, for scripts."""
        return {
            name: {key: asdict(found) for _, key, _ in COLUMNS if (found := over(self.documents, name, key))}
            for name in self.steps[0].contestants
        }


def draw(folder: Path, part: Measured) -> dict[str, Path]:
    """Plots over languages and seeds, and Stage A of the first comparison, by title."""
    first = part.steps[0]
    found = [averaged(part.documents, name) for name in first.contestants]
    drawn = draw_comparison(folder, Found(found, part.judged(), "reference"))
    curves = first.comparison / PLOTS / "stage_a.png"
    if curves.is_file():
        drawn["Stage A"] = Path(shutil.copyfile(curves, folder / curves.name))
    return drawn


def collect(steps: Sequence[Step]) -> dict[str, Measured]:
    """What is measured, by part.

    Raises:
        LlinkError: a comparison that is missing, or a damaged one.
    """
    found: dict[str, Measured] = {}
    for name in dict.fromkeys(step.part for step in steps):
        own = [step for step in steps if step.part == name]
        told: dict[str, list[Document]] = {}
        for step in own:
            document = step.document()
            if document is None:
                raise LlinkError(f"{step.comparison} holds no finished comparison: leave out --tables-only")
            told.setdefault(step.language, []).append(document)
        found[name] = Measured(own, told)
    return found


def body(
    parts: Mapping[str, Measured],
    found: Sequence[Bar],
    intro: Sequence[str],
    plots: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Lines of Markdown, headings from ``##`` on; ``plots`` are addresses by part and title."""
    table = parts["table"]
    names = table.steps[0].contestants
    sheets = [bars_sheet(found), by_contestant("Contestants", table.documents, names)]
    judged = judge_sheet(table.judged(), "reference")
    sheets += [judged] if judged else []
    sheets.append(by_language(table.by_language, names))
    lines = ["## The paper's table", "", *intro, ""]
    lines += [line for sheet in sheets for line in _section(sheet)] + _images(plots["table"])
    if "seeds" in parts:
        other = parts["seeds"]
        lines += _section(by_contestant("Other seeds", other.documents, other.steps[0].contestants))
    if "ablations" in parts:
        other = parts["ablations"]
        names = other.steps[0].contestants
        lines += _section(by_contestant("Ablations", other.documents, names))
        lines += [f"- *{escape(name)}*: {escape(described(name))}" for name in names] + [""]
        lines += _images(plots["ablations"])
    return lines


def _section(sheet: Table) -> list[str]:
    heading, *rest = section(sheet)
    return [f"#{heading}", *rest]


def _images(addresses: Mapping[str, str]) -> list[str]:
    return [line for title, address in addresses.items() for line in (f"![{title}]({address})", "")]


def page(lines: Sequence[str]) -> str:
    """A page of its own, headings from ``#`` on."""
    return "\n".join(re.sub(r"^#(#+ )", r"\1", line) for line in lines)
