"""Tab-separated pairs, with or without a header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from llink_ray.corpus.lines import lines
from llink_ray.corpus.pair import Pair
from llink_ray.errors import LlinkError
from llink_ray.text.normalisation import visible

COLUMNS = "another number of columns"
"""Reason to drop a line, counted with those of :mod:`llink_ray.corpus.clean`."""
_FOREIGN = "foreign"
# Beside the two sides, the column that says where a pair comes from.
_SOURCE = "source"
# Column names that say "header" but not which side is which.
_VAGUE = {"source", "target", "src", "tgt", "trg", "text", "sentence", "translation", "original"}
_WANTED = (
    "wanted is a header with 'english' (or 'en') and 'foreign' (or the language's code or name), "
    "or no header and two columns, foreign TAB english"
)
_SIDES = (0, 1, -1)
_LOOKED_AT = 20
"""Lines that tell whether the first, with neither a header nor two columns, is the odd one."""


def read_tsv(file: Path) -> Iterator[Pair]:
    """Pairs of a tab-separated file; quotes are ordinary letters, a blank line is a pair of nothing.

    A line with another number of columns than the others, as one has with a tab inside a sentence, is a pair
    of nothing whose ``fault`` says so: where its tabs belong cannot be known. The first line with text tells
    how many there are, or two where it is no header and most lines behind it have two.

    Raises:
        LlinkError: columns that cannot be told apart.
    """
    rows = lines(file)
    for number, text in rows:
        if not text.strip():
            yield Pair("", "", line=number)
            continue
        cells = text.split("\t")
        try:
            header = named_sides(f"{file} line {number}", cells)
        except LlinkError:
            begun = list(islice(rows, _LOOKED_AT))
            two = [line.count("\t") == 1 for _, line in begun if line.strip()]
            if len(cells) == 2 or 2 * sum(two) <= len(two):
                raise
            yield Pair("", "", line=number, fault=COLUMNS)
            yield from _pairs(chain(begun, rows), _SIDES, 2)
            return
        behind = rows if header else chain([(number, text)], rows)
        yield from _pairs(behind, header or _SIDES, len(cells))
        return


def _pairs(rows: Iterable[tuple[int, str]], places: tuple[int, int, int], width: int) -> Iterator[Pair]:
    """Of lines with a foreign, an English and a source column (-1 without one) at these places."""
    foreign, english, source = places
    for number, text in rows:
        if not text.strip():
            yield Pair("", "", line=number)
            continue
        cells = text.split("\t")
        if len(cells) != width:
            yield Pair("", "", line=number, fault=COLUMNS)
            continue
        named = cells[source] if source >= 0 else ""
        yield Pair(cells[foreign], cells[english], line=number, source=named)


def named_sides(where: str, cells: list[str]) -> tuple[int, int, int] | None:
    """Places of the foreign, English and source columns (-1 without one); None where the line is a pair."""
    from llink_ray.text.languages import is_decoder_language

    names = [visible(cell).strip().casefold() for cell in cells]
    english = [i for i, name in enumerate(names) if is_decoder_language(name)]
    foreign = [i for i, name in enumerate(names) if name == _FOREIGN]
    if not english and not foreign:
        languages = _language_columns(names)
        if len(languages) == len(names) or _VAGUE.issuperset(names):
            raise LlinkError(f"{where} names no English column ({_quoted(cells)}): {_WANTED}")
        if len(cells) != 2:
            found = f"{_columns(len(cells))} and no header known ({_quoted(cells)})"
            raise LlinkError(f"{where} has {found}: {_WANTED}")
        return None
    if not foreign:
        foreign = [i for i in _language_columns(names) if i not in english]
    if len(english) != 1 or len(foreign) != 1:
        lacking = [
            f"{'no' if not found else 'more than one'} {side} column"
            for side, found in (("English", english), ("foreign", foreign))
            if len(found) != 1
        ]
        raise LlinkError(f"{where} names {' and '.join(lacking)} ({_quoted(cells)}): {_WANTED}")
    return foreign[0], english[0], names.index(_SOURCE) if _SOURCE in names else -1


def _language_columns(names: list[str]) -> list[int]:
    """Columns named by a language of the table."""
    from llink_ray.text import languages

    found = []
    for i, name in enumerate(names):
        try:
            languages.find(name)
        except LlinkError:
            continue
        found.append(i)
    return found


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _quoted(cells: list[str]) -> str:
    shown = [repr(cell if len(cell) <= 30 else cell[:30] + "…") for cell in cells[:6]]
    return ", ".join([*shown, "…"] if len(cells) > 6 else shown)
