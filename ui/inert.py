"""Text of people and models on its way into the page: shown letter by letter, never read as anything."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TEMPLATE = str.maketrans({"$": "&#36;", "`": "&#96;", "{": "&#123;", "}": "&#125;", "\\": "&#92;"})
"""Letters that a template reads: no value of the page is one, and none should become one unnoticed."""
Direction = Literal["ltr", "rtl"]


def inert(text: str) -> str:
    """The text as HTML that shows exactly it; fit for attributes, too."""
    shown = _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return html.escape(shown, quote=True).translate(_TEMPLATE)


def direction_of(text: str) -> Direction:
    """Which way a text runs: that of its first letter that has one."""
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
