"""A measurement as tables: for the terminal, whose width they keep to, and for ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llink_ray.evaluation.table import DASH, Table, format_number, humanize

Document = Mapping[str, Any]
_HUNDREDS = ("chrf++", "bleu", "tokens")
_CEILINGS = ("ceiling", "trained_ceiling")


def held_out_sheets(document: Document) -> list[Table]:
    """All tables of a measurement's document."""
    found = [_text(document), _tasks(document), _figures(document), *_by_source(document)]
    return [sheet for sheet in found if sheet.rows]


def _text(document: Document) -> Table:
    corpus = document["corpus"]
    rows = [("file", corpus["path"]), ("pairs measured on", format_number(corpus["pairs"]))]
    rows += [(f"dropped: {reason}", format_number(count)) for reason, count in corpus["dropped"].items()]
    rows += [(f"seen by {name}", format_number(count)) for name, count in corpus["near_duplicates"].items()]
    rows += [("left out as seen", format_number(corpus["left_out"]))] if corpus["near_duplicates"] else []
    rows += [("too long for the decoder", format_number(corpus["too_long"]))] if corpus["too_long"] else []
    note = "Seen: pairs that a bundle was trained on, or nearly so." if corpus["near_duplicates"] else ""
    return Table("Held-out text", ("", ""), "ll", tuple(rows), note)


def _tasks(document: Document) -> Table:
    names = _ceilings(document)
    rows = []
    for task, told in document["figures"].items():
        if "decides" in told:
            gaps = [_gap(told["gaps"].get(name), told["measure"]) for name in names]
            decides = "yes" if told["decides"] else "no"
            rows.append(
                (
                    _name(task),
                    format_number(told["examples"]),
                    format_number(told.get("chance"), 2),
                    *gaps,
                    decides,
                )
            )
    columns = ("task", "n", "chance", *(f"{name} − floor" for name in names), "decides")
    note = (
        "Floor: the decoder as it came, on the foreign text; ceiling: the same on the human English, which "
        "in retrieval is 1 but for repeated sentences. A task decides nothing where no ceiling stands "
        "clearly above the floor: the difference's interval includes 0, or it is under .05 of the scale."
    )
    return Table("Tasks", columns, "lrr" + "l" * (len(names) + 1), tuple(rows), note)


def _figures(document: Document) -> Table:
    ceilings = _ceilings(document)
    rows = []
    for task, told in document["figures"].items():
        for place, (name, estimate) in enumerate(told["systems"].items()):
            ways = told.get("shares", {}).get(name, {})
            cells = [_interval(ways[ceiling], "") if ceiling in ways else "" for ceiling in ceilings]
            rows.append(("" if place else _name(task), name, _interval(estimate, told["measure"]), *cells))
    columns = ("task", "system", "figure", *(f"to {ceiling}" for ceiling in ceilings))
    note = (
        "In brackets: 95 % intervals, bootstrap over the examples. To a ceiling: share of the way to it from "
        "the floor, (figure − floor) / (ceiling − floor), where that ceiling stands clear."
    )
    return Table("Figures", columns, "l" * len(columns), tuple(rows), note)


def _by_source(document: Document) -> Iterator[Table]:
    for task, told in document["figures"].items():
        rows = []
        for source, part in told.get("by_source", {}).items():
            for place, (name, estimate) in enumerate(part["systems"].items()):
                first = ("", "") if place else (source, format_number(part["examples"]))
                rows.append((*first, name, _interval(estimate, told["measure"])))
        title = f"{_name(task).capitalize()} by source"
        yield Table(title, ("source", "n", "system", "figure"), "lrll", tuple(rows))


def _ceilings(document: Document) -> list[str]:
    return [name for name, system in document["systems"].items() if system["role"] in _CEILINGS]


def _name(task: str) -> str:
    return humanize(task).replace(":", " ")


def _gap(gap: Document | None, measure: str) -> str:
    return DASH if gap is None else _interval(gap, measure) + ("" if gap["clear"] else ", not clear")


def _interval(estimate: Document, measure: str) -> str:
    digits = 1 if measure in _HUNDREDS else 3
    value, low, high = (format_number(float(estimate[key]), digits) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
