"""An insight as tables for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from llink_ray.evaluation.attention import PARTS
from llink_ray.evaluation.insight import Insight, Near
from llink_ray.evaluation.table import Table
from llink_ray.evaluation.terminal import render

NARROW = {"marks": "marks", "numerals": "nums", "instruction": "instr", "answer": "said"}
LABEL = 12
"""Columns that a token may take."""
MANY = 4
"""Columns from which on a table is set tight."""
MOST = 40
"""Answer tokens, pieces of the text, and texts that are listed one by one."""


def visible(token: str, longest: int = LABEL) -> str:
    """A token with its blanks shown, cut to fit."""
    shown = token.replace(" ", "·").replace("\n", "↵").replace("\t", "→")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def groups(count: int, room: int) -> list[range]:
    """Slots side by side in ``room`` columns: one by one where they fit, else neighbours together."""
    for size in range(1, count + 1):
        parts = [range(start, min(start + size, count)) for start in range(0, count, size)]
        if sum(max(3, len(_name(part))) + 2 for part in parts) <= room:
            return parts
    return [range(count)]


def _name(part: range) -> str:
    return str(part[0] + 1) if len(part) == 1 else f"{part[0] + 1}-{part[-1] + 1}"


def percent(share: float) -> str:
    """Whole per cent; a dot for less than a half."""
    return str(int(share * 100 + 0.5) or "·")


def _given_sheet(seen: Insight) -> Table:
    more = len(seen.pieces) - MOST
    pieces = " ".join(visible(piece) for piece in seen.pieces[:MOST]) + (
        f" … {more} more" if more > 0 else ""
    )
    counted = f"{len(seen.pieces)} pieces" + (f", {seen.unknown} of them unknown" if seen.unknown else "")
    rows = (
        ("instruction", seen.instruction),
        ("text", seen.text),
        ("answer", seen.answer or "(nothing)"),
        ("numerals lane", ", ".join(seen.numerals) or "(empty)"),
        ("prompt tokens", f"{seen.tokens_slots} with slots, {seen.tokens_raw} with the raw text"),
        ("encoder read", f"{counted}: {pieces}"),
    )
    return Table(f"What the decoder was given ({seen.language})", ("", ""), "ll", rows)


def _shares(
    rows: Sequence[tuple[str, Sequence[float]]], slots: int, room: int
) -> tuple[tuple[str, ...], ...]:
    """The head, then a row for each: label, groups of slots, other parts, in per cent."""
    parts = groups(slots, room - LABEL - sum(max(3, len(name)) + 2 for name in NARROW.values()))
    table = [("", *map(_name, parts), *(NARROW[name] for name in PARTS))]
    for label, shares in rows:
        together = [sum(shares[i] for i in part) for part in parts]
        table.append((label, *map(percent, [*together, *shares[slots:]])))
    return tuple(table)


def _tight(sheet: Table) -> Group:
    """A sheet of many narrow columns, two blanks between them."""
    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in sheet.columns:
        table.add_column(Text(name), justify="right" if name else "left", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    parts: list[Text | Padding] = [Text(sheet.title, style="bold"), Padding(table, (0, 0, 0, 2))]
    if sheet.note:
        parts.append(Padding(Text(sheet.note, style="dim"), (0, 0, 0, 2)))
    return Group(*parts)


def _attention_sheets(seen: Insight, room: int) -> list[Table]:
    if seen.attention_missing:
        return [Table("Attention", ("", ""), "ll", (("", f"none: {seen.attention_missing}"),))]
    count, tokens = len(seen.slots), len(seen.answer_tokens)
    rows = [(visible(t), shares) for t, shares in zip(seen.answer_tokens, seen.attention, strict=True)]
    by_token = _shares(rows[:MOST], count, room)
    note = "Per cent, mean over heads and layers, of the position that decided the token."
    if tokens > MOST:
        note += f" The first {MOST} of {tokens} tokens."
    layers = [
        (f"layer {i + 1}", [sum(column) / tokens for column in zip(*layer, strict=True)])
        for i, layer in enumerate(seen.attention_by_layer)
    ]
    by_layer = _shares(layers, count, room)
    align = "l" + "r" * (len(by_token[0]) - 1)
    return [
        Table("Attention by answer token: slots, other parts", by_token[0], align, by_token[1:], note),
        Table("Attention by layer", by_layer[0], align, by_layer[1:], "Per cent, mean over answer tokens."),
    ]


def _words_sheet(seen: Insight) -> Table:
    def listed(near: Sequence[Near]) -> str:
        return " ".join(f"{visible(n.token)}({n.score:.2f})" for n in near)  # a score never leaves its token

    rows = tuple((str(i + 1), listed(s.nearest), listed(s.read)) for i, s in enumerate(seen.slots))
    note = "Nearest: cosine to input embeddings. Read: what the output rows would say of the slot."
    return Table("Slots in words", ("slot", "nearest", "read"), "lll", rows, note)


def _matrix_sheet(title: str, cosines: Sequence[Sequence[float]], room: int, note: str) -> Table:
    """Every cosine where they fit, else what stands out of them."""
    size = len(cosines)
    if 4 + 7 * size <= room:
        rows = tuple((str(i + 1), *(f"{c:z.2f}" for c in row)) for i, row in enumerate(cosines))
        return Table(title, ("", *(str(i + 1) for i in range(size))), "l" + "r" * size, rows, note)
    pairs = sorted((cosines[i][j], i + 1, j + 1) for i in range(size) for j in range(i))
    (least, *_), (most, *_) = pairs[0], pairs[-1]
    rows = (
        ("mean of pairs", f"{sum(p[0] for p in pairs) / len(pairs):z.2f}"),
        (f"most alike ({pairs[-1][2]} and {pairs[-1][1]})", f"{most:z.2f}"),
        (f"least alike ({pairs[0][2]} and {pairs[0][1]})", f"{least:z.2f}"),
    )
    return Table(title, ("", "cosine"), "lr", rows, note)


def insight_sheets(seen: Insight, width: int = 80) -> list[Table]:
    """Everything in the insight as tables that fit ``width`` columns (80 or more)."""
    room = width - 2  # tables stand two columns in
    texts = [seen.text, *seen.others]
    over = f"Mean over {len(texts)} texts." if seen.others else ""
    made = [
        _given_sheet(seen),
        *_attention_sheets(seen, room),
        _words_sheet(seen),
        _matrix_sheet("Slots beside each other (cosine)", seen.within, room, over),
    ]
    if seen.others:
        made.append(_matrix_sheet("Texts beside each other (cosine of mean slots)", seen.between, room, ""))
        listed = tuple(
            (str(i + 1), visible(text, 60).replace("·", " ")) for i, text in enumerate(texts[:MOST])
        )
        made.append(Table("Texts", ("", ""), "rl", listed))
    return made


def print_insight(seen: Insight, console: Console | None = None) -> None:
    """All tables, to stderr unless another console is given."""
    console = console or Console(stderr=True, highlight=False)
    for sheet in insight_sheets(seen, console.width):
        console.print(_tight(sheet) if len(sheet.columns) > MANY else render(sheet))
        console.print()
