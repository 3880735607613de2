"""Numbers in any decimal digits come back as ASCII."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.languages import TABLE
from llink_ray.numerals import numerals

ZEROS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.decimal(chr(code), None) == 0]


def written(number: str, zero: str) -> str:
    """``number`` in the digits that start at ``zero``."""
    return "".join(chr(ord(zero) + int(sign)) if sign.isdecimal() else sign for sign in number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ལོ་༡༩༥༩ལ་མི་༣༠", ["1959", "30"]),
        ("តម្លៃ៣០០០រៀល", ["3000"]),
        ("၃၀ ရာခိုင်နှုန်း၊ 12", ["30", "12"]),
        ("in 1999, 3 of 10.", ["1999", "3", "10"]),
        ("-12 and −٤٫٥, (-3)", ["-12", "-4.5", "-3"]),
        ("\u200e-\u200e۵", ["-5"]),
        ("30% ٪۳۰ %50 20 % १२％", ["30%", "30%", "50%", "20%", "12%"]),
        ("1,234,567.8 ١٬٢٣٤ １，２３４．５", ["1,234,567.8", "1,234", "1,234.5"]),
        ("12.3.2020", ["12.3.2020"]),
        ("10:30, 1/2, 3 4", ["10", "30", "1", "2", "3", "4"]),
        ("12, 13. 5% of 7", ["12", "13", "5%", "7"]),
        ("covid-19, 10-20, ខ-៥, 5--6", ["19", "10", "20", "5", "5", "6"]),
        ("A4 8km ៥ម៉ែត្រ", ["4", "8", "5"]),
        ("5%10", ["5", "10"]),
        ("፲፪ ½ m² Ⅻ ⑫ 十二", []),
        ("", []),
        ("- % . ,", []),
        ("007", ["007"]),
    ],
)
def test_numerals_of_a_text(text: str, expected: list[str]) -> None:
    assert numerals(text) == expected


@pytest.mark.parametrize("language", TABLE, ids=lambda language: language.code)
def test_every_language_of_the_table(language: object) -> None:
    digits = language.digits  # type: ignore[attr-defined]
    assert numerals(f"{language.own_name}{digits}{language.own_name}") == ["0123456789"]  # type: ignore[attr-defined]


@settings(deadline=None)
@given(number=st.integers(min_value=0), zero=st.sampled_from(ZEROS), around=st.sampled_from("ཀ ខ،aა\n("))
def test_a_number_in_any_digits_comes_back(number: int, zero: str, around: str) -> None:
    assert numerals(around + written(str(number), zero) + around) == [str(number)]


@settings(deadline=None)
@given(
    whole=st.integers(0, 10**9), part=st.integers(0, 999), zero=st.sampled_from(ZEROS),
    minus=st.sampled_from(["", "-"]), percent=st.sampled_from(["", "%"]),
)  # fmt: skip
def test_sign_separators_and_percent_come_back(
    whole: int, part: int, zero: str, minus: str, percent: str
) -> None:
    number = f"{minus}{whole:,}.{part}{percent}"
    assert numerals(f"x {written(number, zero)} y") == [number]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(ZEROS)), max_size=6))
def test_reading_order(numbers: list[tuple[int, str]]) -> None:
    text = " ང་".join(written(str(number), zero) for number, zero in numbers)
    assert numerals(text) == [str(number) for number, _ in numbers]


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_ascii(text: str) -> None:
    found = numerals(text)
    assert all(numeral.isascii() and any(sign.isdigit() for sign in numeral) for numeral in found)
    assert numerals(" ".join(found)) == found
