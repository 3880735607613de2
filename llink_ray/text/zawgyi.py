"""Burmese in Zawgyi: a font's own encoding in the places of Unicode's letters, which no encoder reads.

Google's ``myanmartools`` tells the two apart, by how likely each pair of letters is in either; texts that are
the same in both are Unicode. ``paraencoder`` has the rules of the conversion, which is done on request alone:
a text in which both are mixed comes out wrong.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.text.languages import Language

SURE = 0.95
"""Probability from which on a text is taken for Zawgyi."""
_LETTERS = re.compile("[\u1000-\u109f]")


class NotUnicode(LlinkError):
    """Text in a font's own encoding."""

    index: int | None = None
    """Which of several messages it is in."""

    def __init__(self, language: Language) -> None:
        super().__init__(
            f"the text is {language.name} in Zawgyi, a font's own encoding, which is not read here: write "
            "it in Unicode, or have it converted (convert_zawgyi in a request, "
            "llink_ray.text.zawgyi.converted)"
        )


def require_unicode(text: str, language: Language) -> None:
    """Refuse a text in the encoding of a font.

    Raises:
        NotUnicode: it is in one.
    """
    if language.font_encoding and is_zawgyi(text):
        raise NotUnicode(language)


def is_zawgyi(text: str) -> bool:
    """Whether the letters of the Myanmar block in ``text`` are Zawgyi."""
    if not _LETTERS.search(text) or _detector().get_zawgyi_probability(text) < SURE:
        return False
    return to_unicode(text) != text


def to_unicode(text: str) -> str:
    """The same in Unicode, of text that is in Zawgyi; other scripts in it stay as they are.

    >>> to_unicode("ျမန္မာ")
    'မြန်မာ'
    """
    from para.convert import zg_to_unicode

    return str(zg_to_unicode(text, force=True))


def converted(text: str) -> str:
    """``text`` with the lines that are in Zawgyi in Unicode."""
    return "".join(to_unicode(line) if is_zawgyi(line) else line for line in text.splitlines(keepends=True))


@cache
def _detector() -> Any:
    from myanmartools import ZawgyiDetector

    return ZawgyiDetector()
