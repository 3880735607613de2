"""A measurement's tables, for the terminal and ``report.md``; ``metrics.json`` and ``answers.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llink_ray.evaluation.held_out.figure_document import CEILINGS
from llink_ray.evaluation.held_out.result_cache import write_json, write_text
from llink_ray.evaluation.report import NAME, escape, section
from llink_ray.evaluation.table import DASH, Table, format_interval, format_number, humanize

Document = Mapping[str, Any]
_COARSE = ("chrf++", "bleu", "tokens")
"""Measures shown with one decimal."""


def write_report(folder: Path, document: Document, answers: Sequence[Document]) -> Path:
    """Write all three files into ``folder``; returns the report's path.

    Raises:
        JobFailed: the disk refused.
    """
    lines = [f"# {escape(document['language'])}: held-out text", ""]
    for part in ("encoder", "decoder"):
        model = document["models"][part]
        lines.append(f"- {part}: {escape(str(model['model']))} ({escape(str(model['fingerprint'])[:12])})")
    for name, system in document["systems"].items():
        if "bundle" in system:
            lines.append(f"- {escape(name)}: {escape(str(system['bundle']))}, {system['digest'][:12]}")
    lines += [f"- corpus hash {document['corpus']['hash'][:12]}, seed {document['seed']}", ""]
    for table in held_out_tables(document):
        lines += section(table)
    write_json(folder / "answers.json", answers, indent=1)
    write_json(folder / "metrics.json", document, indent=1)
    report = folder / NAME
    write_text(report, "\n".join(lines))
    return report


def held_out_tables(document: Document) -> list[Table]:
    """All tables of a measurement's document."""
    tables = [_text(document), _tasks(document), _figures(document), *_by_source(document)]
    return [table for table in tables if table.rows]


def _text(document: Document) -> Table:
    corpus = document["corpus"]
    counts = {
        "pairs measured on": corpus["pairs"],
        **{f"dropped: {reason}": count for reason, count in corpus["dropped"].items()},
        **{f"seen by {name}": count for name, count in corpus["near_duplicates"].items()},
    }
    if corpus["near_duplicates"]:
        counts["left out as seen"] = corpus["left_out"]
    if corpus["too_long"]:
        counts["too long for the decoder"] = corpus["too_long"]
    rows = [("file", corpus["path"]), *((name, format_number(count)) for name, count in counts.items())]
    note = "Seen: pairs that a bundle was trained on, or nearly so." if corpus["near_duplicates"] else ""
    return Table("Held-out text", ("", ""), "ll", tuple(rows), note)


def _tasks(document: Document) -> Table:
    names = _ceilings(document)
    rows = []
    for task, figure in document["figures"].items():
        if "decides" in figure:
            gaps = [_gap(figure["gaps"].get(name), figure["measure"]) for name in names]
            counts = format_number(figure["examples"]), format_number(figure.get("chance"), 2)
            rows.append((_name(task), *counts, *gaps, "yes" if figure["decides"] else "no"))
    columns = ("task", "n", "chance", *(f"{name} − floor" for name in names), "decides")
    note = (
        "Floor: the untrained decoder on the foreign text; ceiling: the same on the human English, which "
        "in retrieval is 1 but for repeated sentences. A task decides nothing where no ceiling stands "
        "clearly above the floor: the difference's interval includes 0, or it is under .05 of the scale."
    )
    return Table("Tasks", columns, "lrr" + "l" * (len(names) + 1), tuple(rows), note)


def _figures(document: Document) -> Table:
    ceilings = _ceilings(document)
    rows = []
    for task, figure in document["figures"].items():
        for i, (name, estimate) in enumerate(figure["systems"].items()):
            shares = figure.get("shares", {}).get(name, {})
            cells = [_interval(shares[ceiling], "") if ceiling in shares else "" for ceiling in ceilings]
            if name in figure.get("kept", {}):
                cells[0] = f"{figure['kept'][name]:.2f} × the ceiling"
            rows.append(("" if i else _name(task), name, _interval(estimate, figure["measure"]), *cells))
    columns = ("task", "system", "figure", *(f"to {ceiling}" for ceiling in ceilings))
    note = (
        "In brackets: 95 % intervals, bootstrap over the examples. To a ceiling: share of the way to it from "
        "the floor, (figure − floor) / (ceiling − floor), where that ceiling stands clear. On English: the "
        "human English read with the bundle's adapters on, and over the ceiling, which has them off."
    )
    return Table("Figures", columns, "l" * len(columns), tuple(rows), note)


def _by_source(document: Document) -> Iterator[Table]:
    for task, figure in document["figures"].items():
        rows = []
        for source, part in figure.get("by_source", {}).items():
            for i, (name, estimate) in enumerate(part["systems"].items()):
                first = ("", "") if i else (source, format_number(part["examples"]))
                rows.append((*first, name, _interval(estimate, figure["measure"])))
        title = f"{_name(task).capitalize()} by source"
        yield Table(title, ("source", "n", "system", "figure"), "lrll", tuple(rows))


def _ceilings(document: Document) -> list[str]:
    return [name for name, system in document["systems"].items() if system["role"] in CEILINGS]


def _name(task: str) -> str:
    return humanize(task).replace(":", " ")


def _gap(gap: Document | None, measure: str) -> str:
    return DASH if gap is None else _interval(gap, measure) + ("" if gap["clear"] else ", not clear")


def _interval(estimate: Document, measure: str) -> str:
    digits = 1 if measure in _COARSE else 3
    return format_interval(estimate["value"], estimate["low"], estimate["high"], digits)
