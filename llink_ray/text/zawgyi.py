"""Burmese in Zawgyi, the encoding of a font that reuses Unicode's code points; no encoder reads it.

Google's ``myanmartools`` gives the probability of Zawgyi by pairs of letters; texts that are the same in both
encodings count as Unicode. ``paraencoder`` converts. That is done on request only, since a text that mixes
both encodings comes out wrong.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.text.languages import Language

MIN_PROBABILITY = 0.95
"""From which on a text counts as Zawgyi."""
_LETTERS = re.compile("[\u1000-\u109f]")


class NotUnicode(LlinkError):
    """Text in the encoding of a font."""

    index: int | None = None
    """Index of the message, where there are several."""

    def __init__(self, language: Language) -> None:
        super().__init__(
            f"the text is {language.name} in Zawgyi, a font's own encoding, which is not read here: write "
            "it in Unicode, or have it converted (convert_zawgyi in a request, "
            "llink_ray.text.zawgyi.convert_zawgyi)"
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
    if not _LETTERS.search(text) or _detector().get_zawgyi_probability(text) < MIN_PROBABILITY:
        return False
    return to_unicode(text) != text


def to_unicode(text: str) -> str:
    """Convert text in Zawgyi; other scripts in it stay as they are.

    >>> to_unicode("ျမန္မာ")
    'မြန်မာ'
    """
    from para.convert import zg_to_unicode

    return str(zg_to_unicode(text, force=True))


def convert_zawgyi(text: str) -> str:
    """Convert those lines of ``text`` that are in Zawgyi."""
    return "".join(to_unicode(line) if is_zawgyi(line) else line for line in text.splitlines(keepends=True))


@cache
def _detector() -> Any:
    from myanmartools import ZawgyiDetector

    return ZawgyiDetector()
