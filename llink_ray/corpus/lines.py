"""The lines of a UTF-8 file with their numbers."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from llink_ray.errors import LlinkError
from llink_ray.progress import track


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """(1-based line number, text without its line end) of each line.

    A line ends at LF or CR LF and nowhere else: other Unicode line marks are text.

    Raises:
        LlinkError: a line that is not UTF-8, with the line and its first bad byte.
    """
    with file.open("rb") as stream, track(f"corpus {file.name}", "MB", file.stat().st_size) as progress:
        for number, raw in enumerate(stream, 1):
            progress.advance(len(raw))
            if number == 1:
                _refuse_utf16(file, raw)
                raw = raw.removeprefix(codecs.BOM_UTF8)
            content = raw.rstrip(b"\r\n")
            try:
                yield number, content.decode("utf-8")
            except UnicodeDecodeError as error:
                raise LlinkError(
                    f"{file} line {number} is not UTF-8: byte {error.start + 1} of the line is "
                    f"0x{content[error.start]:02x}; save the file as UTF-8"
                ) from None


def _refuse_utf16(file: Path, raw: bytes) -> None:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LlinkError(f"{file} line 1 begins as UTF-16 does: save the file as UTF-8")
