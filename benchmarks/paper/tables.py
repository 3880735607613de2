"""Figures of the systems over many comparisons as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llink_ray.evaluation.table import DASH, Table
from llink_ray.text.languages import find
from paper.figures import Document, spread_over

COLUMNS = (
    ("R@1", "retrieval.r1", 3),
    ("R@10", "retrieval.r10", 3),
    ("exact", "answers.exact", 3),
    ("numbers", "answers.numbers", 3),
    ("chrF", "answers.chrf", 1),
    ("passages", "passages.exact", 3),
    ("gain", "slot_gain.zero", 2),
    ("tokens", "tokens.slots", 0),
    ("seconds", "seconds", 0),
)
"""Heading, figure, decimals."""

Row = tuple[tuple[str, ...], Sequence[Document], str]
"""Labels, comparisons, system."""


def figures_table(title: str, rows: Sequence[Row], note: str) -> Table:
    """The rows with their figures, but for columns that no row has a figure for."""
    cells = []
    for labels, documents, name in rows:
        spreads = [(spread_over(documents, name, key), digits) for _, key, digits in COLUMNS]
        cells.append([*labels, *(spread.text(digits) if spread else DASH for spread, digits in spreads)])
    width = len(rows[0][0])
    heads = [*[""] * width, *(head for head, _, _ in COLUMNS)]
    used = [i for i in range(len(heads)) if i < width or any(row[i] != DASH for row in cells)]
    return Table(
        title,
        tuple(heads[i] for i in used),
        "".join("l" if i < width else "r" for i in used),
        tuple(tuple(row[i] for i in used) for row in cells),
        note,
    )


def by_system(title: str, documents: Sequence[Document], names: Sequence[str]) -> Table:
    """Each system over all languages and seeds."""
    note = "Mean, and from least to most over languages and seeds. Seconds: training and measuring."
    return figures_table(title, [((name,), documents, name) for name in names], note)


def by_language(documents: Mapping[str, Sequence[Document]], names: Sequence[str]) -> Table:
    """Each system in each language, over seeds."""
    rows = [((find(code).name, name), part, name) for code, part in documents.items() for name in names]
    return figures_table("By language", rows, "")
