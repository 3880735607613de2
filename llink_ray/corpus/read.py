"""Parallel text from a file; ``READERS`` is where a further format is added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from llink_ray.corpus.jsonl import read_jsonl
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.tsv import read_tsv
from llink_ray.errors import LlinkError

Reader = Callable[[Path], Iterator[Pair]]

READERS: dict[str, Reader] = {".tsv": read_tsv, ".jsonl": read_jsonl}
"""File suffix (lower case) -> its reader."""


def read(path: str) -> Iterator[Pair]:
    """The pairs of a file in file order, each with its line; nothing is cleaned yet.

    A file that cannot be there (missing, a directory, unknown suffix) is refused at once, what
    stands in it is refused when its line is reached.

    Raises:
        LlinkError: with the file, and the line where there is one.
    """
    file = Path(path).expanduser()
    known = " or ".join(READERS)
    try:
        if file.is_dir():
            raise LlinkError(f"corpus {path} is a directory: give one {known} file in it")
        if not file.exists():
            raise LlinkError(f"corpus {path} does not exist: give the path of a {known} file")
    except OSError as error:
        raise LlinkError(f"corpus {path} cannot be read ({error.strerror}): check the path") from None
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        suffix = f"the suffix {file.suffix!r}" if file.suffix else "no suffix"
        raise LlinkError(f"corpus {path} has {suffix}: name it {known}, as what it holds")
    return _not_empty(path, reader(file))


def _not_empty(path: str, pairs: Iterator[Pair]) -> Iterator[Pair]:
    has_pairs = False
    try:
        for pair in pairs:
            has_pairs = has_pairs or bool(pair.foreign or pair.english or pair.fault)
            yield pair
    except OSError as error:
        reason = error.strerror or str(error)
        raise LlinkError(f"corpus {path} cannot be read ({reason}): check its permissions") from None
    if not has_pairs:
        raise LlinkError(f"corpus {path} holds no pairs: give a file with one pair a line")
