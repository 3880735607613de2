"""Numbers of a text as ASCII digits, which stand beside the slots and keep numbers exact.

Decimal digits of every script count (Unicode ``Nd``: ༣༠, ៣០, ၃၀, 30). Signs that are no decimal
digits do not: Ethiopic ፲፪, Roman Ⅻ, circled ⑫, fractions ½, superscripts ². Nor do number words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from llink_ray.text.languages import Language
from llink_ray.text.normalisation import visible

_SIGNS = {
    "−": "-", "﹣": "-", "－": "-", "٪": "%", "﹪": "%", "％": "%",
    "．": ".", "，": ",", "：": ":", "∶": ":", "／": "/", "⁄": "/",
}  # fmt: skip
_MINUS = "−"  # unlike the others, never a hyphen
_ARABIC = str.maketrans({"٫": ".", "٬": ","})  # decimal and thousands wherever they stand
_SEPARATORS = ".,٫٬"
_SPACES = "\u00a0\u202f\u2009"  # those that CLDR and typesetters part thousands with
_MARKS = r"[\u200e\u200f\u061c]*"  # directional marks stand between sign and digits in Arabic script
_GAP = r"[ \u00a0\u202f]?"  # some languages set the percent sign apart

_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_BEFORE, _AFTER = rf"(?<!\d)(?<!\d[:{_SEPARATORS}])", rf"(?![:{_SEPARATORS}]?\d)"


def _date(sign: str, year: str) -> str:
    """Year, month, day, or day and month in either order, then the year."""
    part = rf"{_MARKS}{sign}{_MARKS}"
    forms = (
        rf"\d{{4}}{part}{_MONTH}{part}{_DAY}|(?:{_DAY}{part}{_MONTH}|{_MONTH}{part}{_DAY}){part}(?:{year})"
    )
    return rf"(?<!\d{sign})(?:{forms})(?!{sign}\d)"


# Dates with dots are kept as one by the number itself. Hyphens want all four digits of a year:
# 1-5-24 may as well be a score or part of a telephone number.
_WHEN = (
    rf"{_BEFORE}(?:(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?|"
    + _date("/", r"\d{4}|\d\d")
    + "|"
    + _date("[-‐‑]", r"\d{4}")
    + f"){_AFTER}"
)


def numerals(text: str, language: Language | None = None) -> list[str]:
    """The numbers written in ``text``, in reading order, each as an ASCII string.

    ``-`` before and ``%`` after a number belong to it (a percent sign written before it too). A hyphen
    behind a letter or digit is none, a true minus (U+2212) only behind a digit. Times (``10:30``,
    ``10:30:15``) and dates (``2024-05-01``, ``1/5/2024``, ``1/5/24``, ``1.5.2024``) are one item each,
    their parts in the order and width they were written in. Other ``:``, ``/``, dashes and white space
    part numbers.

    Without ``language``, or where the table does not know how it writes numbers, ``.`` and ``,`` between
    digits are kept as they stand (Arabic ``٫`` and ``٬`` become ``.`` and ``,``). With one, thousands are
    written together and decimals behind ``.``; what its separators do not explain (``1,23`` in English,
    ``1.234.5``) is kept as it stands. A plain space always parts numbers, a no-break space parts thousands
    where the language does so.
    Invisible letters part none.

    >>> numerals("༡༢ and ៣០%, −٤٫٥ at ༡༠:༣༠")
    ['12', '30%', '-4.5', '10:30']
    >>> from llink_ray.text.languages import find
    >>> numerals("1.234,5", find("Macedonian"))
    ['1234.5']
    """
    text = visible(text)
    # One character for each, so that offsets stay.
    plain = "".join(map(_plain, text))
    pattern = _PATTERN
    if language is not None and language.decimal:
        pattern = _pattern(language.decimal, language.group, language.lakhs)
    numbers = []
    for match in pattern.finditer(plain):
        if when := match["when"]:
            numbers.append(re.sub(r"[‐‑]", "-", re.sub(_MARKS, "", when)))
            continue
        minus = match["minus"] and not _is_hyphen(text[max(0, match.start() - 1) : match.start() + 1])
        if (whole := match["whole"]) is not None:
            part = match["part"]
            number = "".join(filter(str.isdecimal, whole)) + (f".{part}" if part else "")
        else:
            number = match["written"].translate(_ARABIC)
        percent = match["before"] or match["after"]
        numbers.append(("-" if minus else "") + number + ("%" if percent else ""))
    return numbers


@lru_cache(maxsize=4_096)
def _plain(letter: str) -> str:
    value = unicodedata.decimal(letter, None)
    return _SIGNS.get(letter, letter) if value is None else str(value)


def _is_hyphen(letters: str) -> bool:
    """Whether the dash at the end of these one or two characters is a hyphen or a range, not a minus."""
    before, dash = letters[:-1], letters[-1]
    if before == "":
        return False
    kinds = "N" if dash == _MINUS else "LMN"
    return _plain(before) == "-" or unicodedata.category(before)[0] in kinds


def _compiled(number: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<when>{_WHEN})"
        rf"|(?P<minus>-{_MARKS})?"
        # Turkic and Persian text may put the percent sign first.
        rf"(?P<before>(?<!\d)%{_MARKS})?"
        rf"(?!{_WHEN})(?:{number}|(?P<written>\d+(?:[{_SEPARATORS}]\d+)*))"
        rf"(?P<after>{_MARKS}{_GAP}%(?!\d))?",
        re.ASCII,
    )


@lru_cache(maxsize=64)
def _pattern(decimal: str, group: str, lakhs: bool) -> re.Pattern[str]:
    """Numbers of a language with these separators: ``whole`` and ``part``, or as ``written``."""
    thousands = f"[{_SPACES if group in _SPACES else re.escape(group)}٬]"
    groups = rf"(?:{thousands}\d\d)*{thousands}\d{{3}}" if lakhs else rf"(?:{thousands}\d{{3}})+"
    grouped = rf"[1-9]\d?\d?(?:{groups}|(?:{thousands}\d{{3}})+)"
    return _compiled(
        rf"(?P<whole>{grouped}|\d+)(?:[{re.escape(decimal)}٫](?P<part>\d+))?"
        rf"(?!\d)(?![{_SEPARATORS}]\d)(?!{thousands}\d{{3}}(?!\d))"
    )


_PATTERN = _compiled(r"(?P<whole>(?!))(?P<part>)")
"""Numbers of an unknown language: as written."""
