"""Numbers of a text, as plain ASCII digits: the lane beside the slots that keeps numbers exact.

Decimal digits of every script count (Unicode ``Nd``: ༣༠, ៣០, ၃၀, 30). Signs that are no decimal
digits do not: Ethiopic ፲፪, Roman Ⅻ, circled ⑫, fractions ½, superscripts ².
"""

from __future__ import annotations

import re
import unicodedata

# One separator at a time, and only between digits. Nothing is known about what it means (1.234 is a
# thousand in some places, one and a bit in others), so it stays as it is, in its ASCII form.
_SEPARATORS = {"٫": ".", "．": ".", "٬": ",", "，": ","}
_MINUS = "-−﹣－"
_PERCENT = "%٪﹪％"
_GAP = r"[ \u00a0\u202f]?"  # some languages set the percent sign apart
_MARKS = r"[\u200e\u200f\u061c]*"  # directional marks stand between sign and digits in Arabic script

_NUMERAL = re.compile(
    rf"(?P<minus>[{_MINUS}]{_MARKS})?"
    # Turkic and Persian text may put the percent sign first.
    rf"(?P<before>(?<!\d)[{_PERCENT}]{_MARKS})?"
    rf"(?P<number>\d+(?:[.,{''.join(_SEPARATORS)}]\d+)*)"
    rf"(?P<after>{_MARKS}{_GAP}[{_PERCENT}](?!\d))?"
)


def numerals(text: str) -> list[str]:
    """The numbers written in ``text``, in reading order, each as an ASCII string.

    ``-`` before and ``%`` after a number belong to it (a percent sign written before it too); so do
    ``.`` and ``,`` between two digits, kept as they stand (Arabic ``٫`` and ``٬`` become ``.`` and
    ``,``). White space, ``:``, ``/`` and dashes part numbers: ``10:30`` is two.

    >>> numerals("༡༢ and ៣០%, −٤٫٥")
    ['12', '30%', '-4.5']
    """
    return [
        ("-" if match["minus"] and not _joins(text[max(0, match.start() - 1) : match.start()]) else "")
        + "".join(map(_ascii, match["number"]))
        + ("%" if match["before"] or match["after"] else "")
        for match in _NUMERAL.finditer(text)
    ]


def _joins(letter: str) -> bool:
    """Whether a dash after this letter is a hyphen or a range, not a minus."""
    return letter != "" and (letter in _MINUS or unicodedata.category(letter)[0] in "LMN")


def _ascii(letter: str) -> str:
    value = unicodedata.decimal(letter, None)
    return _SEPARATORS.get(letter, letter) if value is None else str(value)
