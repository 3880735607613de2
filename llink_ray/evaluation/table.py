"""Tables of text: made once, shown on the terminal and, by ``report``, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

DASH = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; ``align`` has ``l`` or ``r`` for each column, and empty column names mean no head."""

    title: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def render(table: Table, tight: bool = False) -> Group:
    """For the terminal: cells are taken literally, long ones fold, so 60 columns are enough.

    ``tight``: for many narrow columns; fewer blanks between them, and nothing folds.
    """
    head = any(table.columns)
    padding = (0, 1, 0, 0) if tight else (0, 1)
    grid = RichTable(box=box.SIMPLE_HEAD, show_header=head, padding=padding, pad_edge=False, show_edge=False)
    for index, (name, align) in enumerate(zip(table.columns, table.align, strict=True)):
        grid.add_column(
            Text(name),
            justify="right" if align == "r" else "left",
            no_wrap=tight or align == "r",
            overflow="fold",
            style="dim" if index == 0 and not head else "",
        )
    for row in table.rows:
        grid.add_row(*map(Text, row))
    parts: list[Text | Padding] = [Text(table.title, style="bold"), Padding(grid, (0, 0, 0, 2))]
    if table.note:
        parts.append(Padding(Text(table.note, style="dim"), (0, 0, 0, 2)))
    return Group(*parts)


def print_tables(tables: Iterable[Table], console: Console | None = None) -> None:
    """To stderr unless another console is given: stdout is for a job's one JSON line."""
    console = console or Console(stderr=True, highlight=False)
    for table in tables:
        console.print(render(table))
        console.print()


def format_number(value: object, digits: int = 3) -> str:
    """A float with ``digits`` decimals, thousands separated; a dash for None."""
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:,.{digits}f}" if math.isfinite(value) else str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_signed(value: object, digits: int = 3) -> str:
    """A number with its sign; a dash for None."""
    return f"{value:+.{digits}f}" if isinstance(value, int | float) else DASH


def format_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """``0.512 [0.460, 0.563]``."""
    return "{} [{}, {}]".format(*(format_number(float(part), digits) for part in (value, low, high)))


def humanize(key: object) -> str:
    """A key as words: ``how_many`` -> ``how many``."""
    return str(key).replace("_", " ")


def format_duration(seconds: float) -> str:
    """``8.2 s``, ``4 min 07 s``, ``2 h 05 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"
