"""Contestants' figures over many comparisons as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llink_ray.evaluation.table import DASH, Table
from llink_ray.text.languages import find
from paper.figures import Document, over

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
"""Labels, comparisons, contestant."""


def figures_sheet(title: str, rows: Sequence[Row], note: str) -> Table:
    """The rows with their figures; columns that nobody has a figure for are left out."""
    cells = []
    for labels, documents, name in rows:
        found = [(over(documents, name, key), digits) for _, key, digits in COLUMNS]
        cells.append([*labels, *(one.told(digits) if one else DASH for one, digits in found)])
    width = len(rows[0][0])
    heads = [*[""] * width, *(head for head, _, _ in COLUMNS)]
    kept = [i for i in range(len(heads)) if i < width or any(row[i] != DASH for row in cells)]
    return Table(
        title,
        tuple(heads[i] for i in kept),
        "".join("l" if i < width else "r" for i in kept),
        tuple(tuple(row[i] for i in kept) for row in cells),
        note,
    )


def by_contestant(title: str, documents: Sequence[Document], names: Sequence[str]) -> Table:
    """Each contestant over all languages and seeds."""
    note = "Mean, and from least to most over languages and seeds. Seconds: training and measuring."
    return figures_sheet(title, [((name,), documents, name) for name in names], note)


def by_language(documents: Mapping[str, Sequence[Document]], names: Sequence[str]) -> Table:
    """Each contestant in each language, over seeds."""
    rows = [((find(code).name, name), told, name) for code, told in documents.items() for name in names]
    return figures_sheet("By language", rows, "")
