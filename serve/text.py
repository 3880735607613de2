"""Text that may go on: no letters that cannot be stored, shown or read as they stand."""

from __future__ import annotations

import re
import unicodedata

from serve.errors import ApiError

_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_SURROGATES = "\ud800-\udfff"
_OVERRIDES = "\u202d\u202e"
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17)
)
_REFUSED = re.compile(f"[{_CONTROLS}{_SURROGATES}{_OVERRIDES}{_NONCHARACTERS}]")
_BIDI = re.compile("[\u202a-\u202c\u2066-\u2069]")
_DEEPEST = 125
"""The most that Unicode's own algorithm follows."""
_PDF, _PDI = "\u202c", "\u2069"
_CLOSED_BY = dict.fromkeys("\u202a\u202b", _PDF) | dict.fromkeys("\u2066\u2067\u2068", _PDI)


def check_text(text: str, where: str) -> str:
    """The text itself, if nothing in it is refused.

    Tabs and line breaks are fine, and so are embeddings and isolates that are closed again: text that runs
    from right to left has them. Overrides and open ends make text look like other text.

    Raises:
        ApiError: 400, with the code point and where it stands.
    """
    if found := _REFUSED.search(text):
        raise _refusal(text, where, found.start(), _kind(found.group()))
    open_ends: list[int] = []
    for found in _BIDI.finditer(text):
        mark = found.group()
        if mark in _CLOSED_BY:
            open_ends.append(found.start())
            if len(open_ends) > _DEEPEST:
                raise _refusal(text, where, found.start(), f"direction mark {_DEEPEST + 1} in one another")
        elif not open_ends or _CLOSED_BY[text[open_ends.pop()]] != mark:
            raise _refusal(text, where, found.start(), "a direction mark that closes what is not open")
    if open_ends:
        raise _refusal(text, where, open_ends[-1], "a direction mark that is never closed")
    return text


def _kind(letter: str) -> str:
    if letter in _OVERRIDES:
        return "a direction override"
    category = unicodedata.category(letter)
    return {"Cc": "a control character", "Cs": "half of a surrogate pair"}.get(category, "not a character")


def _refusal(text: str, where: str, place: int, kind: str) -> ApiError:
    point = f"U+{ord(text[place]):04X}"
    return ApiError.bad_request(
        f"{where} has {point} at character {place}, {kind}: take it out", param=where, code="invalid_text"
    )
