"""The metrics as tables for a person at a terminal; stdout stays free for the job's one JSON line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from llink_ray.evaluation.table import Table, sheets


def render(sheet: Table) -> Group:
    """One sheet; every cell is taken literally, long ones fold, so 60 columns are enough."""
    table = RichTable(box=box.SIMPLE_HEAD, show_header=any(sheet.columns), pad_edge=False, show_edge=False)
    for place, (name, align) in enumerate(zip(sheet.columns, sheet.align, strict=True)):
        right = align == "r"
        table.add_column(
            Text(name),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
            style="dim" if place == 0 and not any(sheet.columns) else "",
        )
    for row in sheet.rows:
        table.add_row(*(Text(cell) for cell in row))
    parts: list[Text | Padding] = [Text(sheet.title, style="bold"), Padding(table, (0, 0, 0, 2))]
    if sheet.note:
        parts.append(Padding(Text(sheet.note, style="dim"), (0, 0, 0, 2)))
    return Group(*parts)


def print_tables(metrics: Mapping[str, Any], console: Console | None = None) -> None:
    """All tables that the metrics fill, to stderr unless another console is given."""
    console = console or Console(stderr=True, highlight=False)
    for sheet in sheets(metrics):
        console.print(render(sheet))
        console.print()
