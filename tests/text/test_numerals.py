"""Numbers in any decimal digits come back as ASCII."""

from __future__ import annotations

import datetime
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.corpus import phrasebook
from llink_ray.text.languages import DECODER_LANGUAGE, TABLE, Language, find
from llink_ray.text.numerals import numerals

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
        ("༥\u2063༦\ufe0f༠\u200b, \u202a30\u202c%", ["560", "30%"]),
        ("30% ٪۳۰ %50 20 % १२％", ["30%", "30%", "50%", "20%", "12%"]),
        ("1,234,567.8 ١٬٢٣٤ １，２３４．５", ["1,234,567.8", "1,234", "1,234.5"]),
        ("12.3.2020", ["12.3.2020"]),
        ("1/2, 3 4, 10:5", ["1", "2", "3", "4", "10", "5"]),
        ("10:30, ༡༠:༣༠། ១០：៣០:១៥am 8:00-10:30", ["10:30", "10:30", "10:30:15", "8:00", "10:30"]),
        (
            "25:00 10:75 10:30:99 110:30 1:10:300",
            ["25", "00", "10", "75", "10", "30", "99", "110", "30", "1", "10", "300"],
        ),
        (
            "2024-05-01 1/5/2024 ០១/០៥/២០២៤ 1/5/24 1.5.2024",
            ["2024-05-01", "1/5/2024", "01/05/2024", "1/5/24", "1.5.2024"],
        ),
        (
            "2024-05-01T10:30 ١\u200f/٥\u200f/٢٠٢٤ 12/31/1999",
            ["2024-05-01", "10:30", "1/5/2024", "12/31/1999"],
        ),
        ("13/13/2024 1/2/3/2024 2024-13-01", ["13", "13", "2024", "1", "2", "3", "2024", "2024", "13", "01"]),
        ("1-5-24 555-12-3456", ["1", "5", "24", "555", "12", "3456"]),
        ("1/5/2024-3/5/2024 -1/5/2024 -10:30", ["1/5/2024", "3/5/2024", "1/5/2024", "10:30"]),
        ("x−5 ខ−៥ 10−20 x-5", ["-5", "-5", "10", "20", "5"]),
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


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("English", "1,234.5 1,234,567 0.5 1,234.50%", ["1234.5", "1234567", "0.5", "1234.50%"]),
        ("Macedonian", "1.234,5 1.234 1,234 -1.234.567,8%", ["1234.5", "1234", "1.234", "-1234567.8%"]),
        ("Georgian", "1\u00a0234,5 1\u202f234\u202f567 1 234", ["1234.5", "1234567", "1", "234"]),
        ("Georgian", "5\u00a01234, 2024\u00a0300", ["5", "1234", "2024", "300"]),
        ("Hindi", "१२,३४,५६७.५ 1,234,567", ["1234567.5", "1234567"]),
        ("Persian", "۱٬۲۳۴٫۵ 1,234.5", ["1234.5", "1234.5"]),
        ("Pashto", "۱٬۲۳۴٫۵ 1.234,5", ["1234.5", "1234.5"]),
        # What the language's separators do not explain stays.
        ("English", "0,123 1,23 12,34,567 1.234,5", ["0,123", "1,23", "12,34,567", "1.234,5"]),
        ("English", "1.2.3 12.3.2020", ["1.2.3", "12.3.2020"]),
        ("Macedonian", "1.5 12.3.2020 1,234.5", ["1.5", "12.3.2020", "1,234.5"]),
        ("Hmong", "1,234 1.234 1.234,5", ["1,234", "1.234", "1.234,5"]),
        ("Macedonian", "10:30 1/5/2024 007", ["10:30", "1/5/2024", "007"]),
    ],
)  # fmt: skip
def test_separators_of_the_language(name: str, text: str, expected: list[str]) -> None:
    language = DECODER_LANGUAGE if name == "English" else find(name)
    assert numerals(text, language) == expected


def test_an_unknown_language_changes_nothing() -> None:
    unknown = [language for language in TABLE if not language.decimal]
    assert unknown and not any(language.group for language in unknown)
    for language in unknown:
        assert numerals("1,234.5 1.234 ٤٫٥", language) == numerals("1,234.5 1.234 ٤٫٥")


LETTERS = ["", " ", "ཀ", "ខ", "a", "ع", "。", "་"]
zeros, around = st.sampled_from(ZEROS), st.sampled_from(LETTERS)


def grouped(whole: int, language: Language) -> str:
    """``whole`` as the language writes it."""
    digits = str(whole)
    head, tail = digits[:-3], digits[-3:]
    size = 2 if language.lakhs else 3
    start = len(head) % size
    groups = [head[:start], *(head[i : i + size] for i in range(start, len(head), size)), tail]
    return language.group.join(filter(None, groups))


@settings(deadline=None)
@given(
    language=st.sampled_from([DECODER_LANGUAGE, *(one for one in TABLE if one.decimal)]), zero=zeros,
    whole=st.integers(0, 10**12), part=st.from_regex("[0-9]{0,4}", fullmatch=True), apart=st.booleans(),
    minus=st.sampled_from(["", "−", "-"]), percent=st.sampled_from(["", "%", "٪", "\u00a0%"]),
    before=around, after=around,
)  # fmt: skip
def test_a_number_comes_back_whatever_its_script_and_separators(
    language: Language, zero: str, whole: int, part: str, apart: bool,
    minus: str, percent: str, before: str, after: str,
) -> None:  # fmt: skip
    if minus == "-" and before.isalpha():
        minus = "−"  # behind a letter the other is a hyphen
    text = minus + (grouped(whole, language) if apart else str(whole)) + (part and language.decimal + part)
    wanted = ("-" if minus else "") + str(whole) + (part and "." + part) + ("%" if percent else "")
    assert numerals(before + written(text, zero) + percent + after, language) == [wanted]


@settings(deadline=None)
@given(st.times(), st.booleans(), zeros, around, around)
def test_a_time_comes_back(time: datetime.time, seconds: bool, zero: str, before: str, after: str) -> None:
    text = time.strftime("%H:%M:%S" if seconds else "%H:%M")
    assert numerals(before + written(text, zero) + after) == [text]
    short = text.removeprefix("0")
    assert numerals(before + written(short, zero) + after) == [short]


@settings(deadline=None)
@given(
    date=st.dates(min_value=datetime.date(1000, 1, 1)), zero=zeros, before=around, after=around,
    form=st.sampled_from(
        ["{0.year}-{0.month:02}-{0.day:02}", "{0.day}/{0.month}/{0.year}", "{0.month:02}/{0.day:02}/{0.year}",
         "{0.day:02}.{0.month:02}.{0.year}", "{0.year}/{0.month}/{0.day}", "{0.day}-{0.month}-{0.year}"]
    ),
    language=st.sampled_from([None, *TABLE]),
)  # fmt: skip
def test_a_date_comes_back(
    date: datetime.date, zero: str, before: str, after: str, form: str, language: Language | None
) -> None:
    text = form.format(date)
    assert numerals(before + written(text, zero) + after, language) == [text]


@pytest.mark.parametrize("code", phrasebook.languages())
def test_numbers_of_the_phrasebooks_are_the_bare_digits(code: str) -> None:
    """What trained bundles have seen: runs of digits, with the language given or not."""
    for pair in phrasebook.pairs(code, 300):
        texts = [
            pair.foreign,
            pair.english,
            *(text for q in pair.questions for text in (q.instruction, q.answer)),
        ]
        for text in texts:
            digits = [str(int(run)) for run in re.findall(r"\d+", text)]
            assert numerals(text) == numerals(text, find(code)) == digits


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(ZEROS)), max_size=6))
def test_reading_order(numbers: list[tuple[int, str]]) -> None:
    text = " ང་".join(written(str(number), zero) for number, zero in numbers)
    assert numerals(text) == [str(number) for number, _ in numbers]


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_ascii(text: str) -> None:
    for language in (None, find("Macedonian"), find("Georgian")):
        check_ascii(text, language)


@settings(deadline=None)
@given(st.text(alphabet="019.,:/-% −٫٬%a\u00a0༣\u200f"), st.sampled_from([None, *TABLE]))
def test_any_soup_of_signs_gives_ascii(text: str, language: Language | None) -> None:
    check_ascii(text, language)


def check_ascii(text: str, language: Language | None) -> None:
    result = numerals(text, language)
    assert all(numeral.isascii() and any(sign.isdigit() for sign in numeral) for numeral in result)
    assert numerals(" ".join(result)) == result
