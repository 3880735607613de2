"""An insight as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from llink_ray.evaluation.attention import PARTS
from llink_ray.evaluation.insight import Insight, TokenScore
from llink_ray.evaluation.table import Table, render

SHORT_NAMES = {"marks": "marks", "numerals": "nums", "instruction": "instr", "answer": "ans"}
LABEL = 12
"""Columns that a token may take."""
TIGHT = 4
"""Tables of more columns are set tight."""
MOST = 40
"""Answer tokens, pieces of the text, and texts that are listed one by one."""


def show_token(token: str, longest: int = LABEL) -> str:
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


def _prompt_table(result: Insight) -> Table:
    more = len(result.pieces) - MOST
    pieces = " ".join(show_token(piece) for piece in result.pieces[:MOST]) + (
        f" … {more} more" if more > 0 else ""
    )
    counted = f"{len(result.pieces)} pieces" + (
        f", {result.unknown} of them unknown" if result.unknown else ""
    )
    rows = (
        ("instruction", result.instruction),
        ("text", result.text),
        ("answer", result.answer or "(nothing)"),
        ("numerals lane", ", ".join(result.numerals) or "(empty)"),
        ("prompt tokens", f"{result.tokens_slots} with slots, {result.tokens_raw} with the raw text"),
        ("encoder reads", f"{counted}: {pieces}"),
    )
    return Table(f"What the decoder reads ({result.language})", ("", ""), "ll", rows)


def _shares(
    rows: Sequence[tuple[str, Sequence[float]]], slots: int, room: int
) -> tuple[tuple[str, ...], ...]:
    """The head, then a row for each: label, groups of slots, other parts, in per cent."""
    parts = groups(slots, room - LABEL - sum(max(3, len(name)) + 2 for name in SHORT_NAMES.values()))
    table = [("", *map(_name, parts), *(SHORT_NAMES[name] for name in PARTS))]
    for label, shares in rows:
        together = [sum(shares[i] for i in part) for part in parts]
        table.append((label, *map(percent, [*together, *shares[slots:]])))
    return tuple(table)


def _attention_tables(result: Insight, room: int) -> list[Table]:
    if result.attention_missing:
        return [Table("Attention", ("", ""), "ll", (("", f"none: {result.attention_missing}"),))]
    count, tokens = len(result.slots), len(result.answer_tokens)
    rows = [(show_token(t), shares) for t, shares in zip(result.answer_tokens, result.attention, strict=True)]
    by_token = _shares(rows[:MOST], count, room)
    note = "Per cent, mean over heads and layers, of the position that predicts the token."
    if tokens > MOST:
        note += f" The first {MOST} of {tokens} tokens."
    layers = [
        (f"layer {i + 1}", [sum(column) / tokens for column in zip(*layer, strict=True)])
        for i, layer in enumerate(result.attention_by_layer)
    ]
    by_layer = _shares(layers, count, room)
    align = "l" + "r" * (len(by_token[0]) - 1)
    return [
        Table("Attention by answer token: slots, other parts", by_token[0], align, by_token[1:], note),
        Table("Attention by layer", by_layer[0], align, by_layer[1:], "Per cent, mean over answer tokens."),
    ]


def _words_table(result: Insight) -> Table:
    def listed(tokens: Sequence[TokenScore]) -> str:
        return " ".join(
            f"{show_token(n.token)}({n.score:.2f})" for n in tokens
        )  # a score never leaves its token

    rows = tuple((str(i + 1), listed(s.nearest), listed(s.read)) for i, s in enumerate(result.slots))
    note = "Nearest: cosine to input embeddings. Read: the output rows applied to the slot."
    return Table("Slots in words", ("slot", "nearest", "read"), "lll", rows, note)


def _matrix_table(title: str, cosines: Sequence[Sequence[float]], room: int, note: str) -> Table:
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


def insight_tables(result: Insight, width: int = 80) -> list[Table]:
    """Everything in the insight as tables that fit ``width`` columns (80 or more)."""
    room = width - 2  # tables are indented by two columns
    texts = [result.text, *result.others]
    over = f"Mean over {len(texts)} texts." if result.others else ""
    tables = [
        _prompt_table(result),
        *_attention_tables(result, room),
        _words_table(result),
        _matrix_table("Slots beside each other (cosine)", result.within, room, over),
    ]
    if result.others:
        title = "Texts beside each other (cosine of mean slots)"
        tables.append(_matrix_table(title, result.between, room, ""))
        rows = tuple(
            (str(i + 1), show_token(text, 60).replace("·", " ")) for i, text in enumerate(texts[:MOST])
        )
        tables.append(Table("Texts", ("", ""), "rl", rows))
    return tables


def print_insight(result: Insight, console: Console | None = None) -> None:
    """All tables, to stderr unless another console is given."""
    console = console or Console(stderr=True, highlight=False)
    for table in insight_tables(result, console.width):
        console.print(render(table, tight=len(table.columns) > TIGHT))
        console.print()
