"""Tab-separated pairs, with or without a header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from llink_ray.corpus.lines import lines
from llink_ray.corpus.pair import Pair
from llink_ray.errors import LlinkError
from llink_ray.text.normalisation import visible

WRONG_COLUMN_COUNT = "another number of columns"
"""Reason to drop a pair, as those of :mod:`llink_ray.corpus.clean`."""
_FOREIGN = "foreign"
# The column that names the origin of a pair.
_SOURCE = "source"
# Column names of a header that do not say which side is which.
_AMBIGUOUS_NAMES = {"source", "target", "src", "tgt", "trg", "text", "sentence", "translation", "original"}
# What stands before or after a language in column names: lang_en, en_text, translation.km.
_AFFIXES = _AMBIGUOUS_NAMES | {"lang", "language", "sent", "segment"}
_EXPECTED = (
    "wanted is a header with 'english' (or 'en') and 'foreign' (or the language's code or name), "
    "or no header and two columns, foreign TAB english"
)
_DEFAULT_COLUMNS = (0, 1, -1)
_PROBED_LINES = 20
"""Lines after the first that decide whether that one is malformed."""


def read_tsv(file: Path) -> Iterator[Pair]:
    """Pairs of a tab-separated file; quotes are ordinary letters, a blank line gives an empty pair.

    A line with another number of columns than the others, as with a tab inside a sentence, gives an empty
    pair with a ``fault``. The first line with text sets the number of columns; it is two if that line is no
    header and most lines after it have two.

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
            header = find_columns(f"{file} line {number}", cells)
        except LlinkError:
            first_rows = list(islice(rows, _PROBED_LINES))
            two_columns = [line.count("\t") == 1 for _, line in first_rows if line.strip()]
            if len(cells) == 2 or 2 * sum(two_columns) <= len(two_columns):
                raise
            yield Pair("", "", line=number, fault=WRONG_COLUMN_COUNT)
            yield from _pairs(chain(first_rows, rows), _DEFAULT_COLUMNS, 2)
            return
        rest = rows if header else chain([(number, text)], rows)
        yield from _pairs(rest, header or _DEFAULT_COLUMNS, len(cells))
        return


def _pairs(rows: Iterable[tuple[int, str]], columns: tuple[int, int, int], width: int) -> Iterator[Pair]:
    """Pairs of rows with foreign, English and source (-1: none) in these columns."""
    foreign, english, source = columns
    for number, text in rows:
        if not text.strip():
            yield Pair("", "", line=number)
            continue
        cells = text.split("\t")
        if len(cells) != width:
            yield Pair("", "", line=number, fault=WRONG_COLUMN_COUNT)
            continue
        named = cells[source] if source >= 0 else ""
        yield Pair(cells[foreign], cells[english], line=number, source=named)


def find_columns(where: str, cells: list[str]) -> tuple[int, int, int] | None:
    """Indices of the foreign, English and source columns (-1: none); None where the line is a pair."""
    from llink_ray.text.languages import is_decoder_language

    names = [_without_affix(visible(cell).strip().casefold()) for cell in cells]
    english = [i for i, name in enumerate(names) if is_decoder_language(name)]
    foreign = [i for i, name in enumerate(names) if name == _FOREIGN]
    if not english and not foreign:
        languages = _language_columns(names)
        if len(languages) == len(names) or _AFFIXES.issuperset(names):
            raise LlinkError(f"{where} names no English column ({_quoted(cells)}): {_EXPECTED}")
        if len(cells) != 2:
            raise LlinkError(
                f"{where} has {_columns(len(cells))} and no header known ({_quoted(cells)}): {_EXPECTED}"
            )
        return None
    if not foreign:
        foreign = [i for i in _language_columns(names) if i not in english]
    if len(english) != 1 or len(foreign) != 1:
        lacking = [
            f"{'no' if not indices else 'more than one'} {side} column"
            for side, indices in (("English", english), ("foreign", foreign))
            if len(indices) != 1
        ]
        raise LlinkError(f"{where} names {' and '.join(lacking)} ({_quoted(cells)}): {_EXPECTED}")
    return foreign[0], english[0], names.index(_SOURCE) if _SOURCE in names else -1


def _without_affix(name: str) -> str:
    """``eng_latn`` of ``sentence_eng_latn``, ``km`` of ``km_text``."""
    for separator in "_.:-":
        before, _, rest = name.partition(separator)
        if rest and before in _AFFIXES:
            return rest
        rest, _, after = name.rpartition(separator)
        if rest and after in _AFFIXES:
            return rest
    return name


def _language_columns(names: list[str]) -> list[int]:
    """Columns named by a language of the table."""
    from llink_ray.text import languages

    columns = []
    for i, name in enumerate(names):
        try:
            languages.find(name)
        except LlinkError:
            continue
        columns.append(i)
    return columns


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _quoted(cells: list[str]) -> str:
    shown = [repr(cell if len(cell) <= 30 else cell[:30] + "…") for cell in cells[:6]]
    return ", ".join([*shown, "…"] if len(cells) > 6 else shown)
