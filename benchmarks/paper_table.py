"""Everything of the paper's table on the embedded world, by one command: ``make paper-table``.

    python benchmarks/paper_table.py                  # all that paper_table.yaml names
    python benchmarks/paper_table.py --docs           # and its place in docs/results.md
    python benchmarks/paper_table.py --tables-only    # tables of what is measured already

Each part is a call of ``jobs/evaluate.py``, which takes finished runs as they are: the same command goes on
after an interruption. Runs, plots and ``paper-table.md`` go to ``runs/paper-table``. Progress and the targets
go to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the package is not installed

from paper import results_page
from paper.job_calls import commit, evaluate_all, recorded, say
from paper.plan import ROOT, Plan, read_plan, steps
from paper.report import MeasuredPart, body, collect, draw, page
from paper.targets import Target, targets, targets_table

from llink_ray.cluster.checks import check_output
from llink_ray.cluster.command import carry_out, quiet
from llink_ray.evaluation.table import print_tables
from llink_ray.storage.atomic import disk_refused

PLAN = ROOT / "benchmarks" / "paper_table.yaml"


def introduction(plan: Plan, parts: Mapping[str, MeasuredPart], now: str) -> list[str]:
    """What ran, at which commit, where and for how long."""
    calls = [call for part in parts.values() for call in recorded(part.steps)]
    commits = list(dict.fromkeys(call["commit"] for call in calls)) or [now]
    cores = " and ".join(dict.fromkeys(str(call["cores"]) for call in calls))
    where = f", on {cores} cores" if cores else ""
    beside = f", {plan.at_once} languages side by side" if plan.at_once > 1 else ""
    lines = [
        f"`make paper-table` at commit {' and '.join(f'`{name}`' for name in commits)}{where}{beside}.",
        "",
    ]
    for name, part in plan.parts().items():
        given = ", ".join(f"`{text}`" for text in part.assignments()) or "as it is"
        minutes = sum(call["seconds"] for call in recorded(parts[name].steps)) / 60
        lines.append(
            f"- *{name}*: {', '.join(parts[name].by_language)}; seed {', '.join(map(str, part.seeds))}; "
            f"preset `{part.preset}`, {given}; {minutes:.0f} minutes, all runs added up"
        )
    return lines


def write(
    plan: Plan, output: Path, parts: Mapping[str, MeasuredPart], found: Sequence[Target], docs: bool
) -> Path:
    """Write ``paper-table.md`` with its plots, and into the docs where asked for; returns the page.

    Raises:
        JobFailed: the disk refused.
    """
    intro = introduction(plan, parts, commit())
    try:
        drawn = {name: draw(output / "plots" / name, part) for name, part in parts.items() if name != "seeds"}
        addresses = {
            name: {title: path.relative_to(output).as_posix() for title, path in plots.items()}
            for name, plots in drawn.items()
        }
        markdown = output / "paper-table.md"
        markdown.write_text(page(body(parts, found, intro, addresses)), encoding="utf-8")
        if docs:
            small = results_page.shown(drawn, results_page.RESULTS.parent / "images")
            text = results_page.RESULTS.read_text(encoding="utf-8")
            lines = body(parts, found, intro, small)
            results_page.RESULTS.write_text(
                results_page.between_markers(text, lines, results_page.RESULTS), encoding="utf-8"
            )
    except OSError as error:
        raise disk_refused("the tables in", output, error, "name another place with --output") from error
    return markdown


def make(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure what is not measured yet, write the tables, and return the document."""
    plan, output = read_plan(asked.plan), Path(asked.output).absolute()
    planned = steps(plan, output)
    if asked.docs:  # found out before the hour, not after it
        results_page.between_markers(
            results_page.RESULTS.read_text(encoding="utf-8"), [], results_page.RESULTS
        )
    if not asked.tables_only:
        check_output(output)
        evaluate_all(planned, plan.at_once)
    parts = collect(planned)
    found = targets([one for name, part in parts.items() if name != "ablations" for one in part.documents])
    markdown = write(plan, output, parts, found, asked.docs)
    print_tables([targets_table(found)])
    say(f"all tables: {markdown}")
    return {
        "benchmark": "paper-table",
        "commit": commit(),
        "calls": [call for part in parts.values() for call in recorded(part.steps)],
        "targets": [asdict(target) for target in found],
        "reached": sum(target.reached is True for target in found),
        "missed": [target.description for target in found if target.reached is False],
        "figures": {name: part.figures() for name, part in parts.items()},
        "markdown": str(markdown),
    }


def main() -> int:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="The paper's table on the embedded world.")
    parser.add_argument("--plan", default=str(PLAN), help="what to measure (paper_table.yaml)")
    parser.add_argument("--output", default=str(ROOT / "runs" / "paper-table"), help="where everything goes")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/results.md, too")
    parser.add_argument("--tables-only", action="store_true", help="measure nothing: tables of what is there")
    asked = parser.parse_args()
    return carry_out(lambda: make(asked))


if __name__ == "__main__":
    quiet()
    sys.exit(main())
