"""Escaping of user and model text: the page shows it letter by letter."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TEMPLATE_SYNTAX = str.maketrans({"$": "&#36;", "`": "&#96;", "{": "&#123;", "}": "&#125;", "\\": "&#92;"})
"""Gradio's HTML component can treat its value as a template."""
Direction = Literal["ltr", "rtl"]


def escape(text: str) -> str:
    """HTML that displays exactly ``text``; also safe in attributes."""
    visible = _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return html.escape(visible, quote=True).translate(_TEMPLATE_SYNTAX)


def text_direction(text: str) -> Direction:
    """The direction of the first letter that has one."""
    for letter in text:
        bidirectional_class = unicodedata.bidirectional(letter)
        if bidirectional_class in ("R", "AL"):
            return "rtl"
        if bidirectional_class == "L":
            return "ltr"
    return "ltr"
