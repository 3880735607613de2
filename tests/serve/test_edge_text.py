"""Letters that are refused, and those that only look as if they should be."""

from __future__ import annotations

import time
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llink_ray import phrasebook
from serve.errors import ApiError
from serve.text import check_text


def refusal(text: str) -> ApiError:
    with pytest.raises(ApiError) as error:
        check_text(text, "messages[2].content")
    assert error.value.status == 400 and error.value.param == "messages[2].content"
    assert error.value.code == "invalid_text" and error.value.message.startswith("messages[2].content has U+")
    return error.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ab\0", "U+0000 at character 2, a control character"),
        ("\x1b[31m", "U+001B at character 0, a control character"),
        ("\x7f", "U+007F"),
        ("\x9b", "U+009B"),
        ("\ud83d", "U+D83D at character 0, half of a surrogate pair"),
        ("\u202eabc\u202c", "U+202E at character 0, a direction override"),
        ("\u202d", "U+202D"),
        ("a\u202bb", "U+202B at character 1, a direction mark that is never closed"),
        ("\u2067\u2067\u2069", "U+2067 at character 0, a direction mark that is never closed"),
        ("a\u202c", "U+202C at character 1, a direction mark that closes what is not open"),
        ("\u2067\u202a\u2069\u202c", "U+2069 at character 2"),
        ("\u2067" * 126 + "\u2069" * 126, "U+2067 at character 125, direction mark 126 in one another"),
        ("\ufdd0", "U+FDD0 at character 0, not a character"),
        ("\U0010ffff", "U+10FFFF"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    assert said in refusal(text).message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\tb\r\nc\n",
        "שלום \u2067abc\u2069 \u202bמה\u202c",
        "\u2066\u2067a\u2069\u202ab\u202c\u2069",
        "\u200f\u200e\u061c\u200b\u200c\u200d",
        "👩‍👩‍👧 😀 \ufffd\ufffc\ufeff",
        "\ue000\U000f0000",
        "a\u0301\u2028\u2029",
        "\u2067" * 125 + "\u2069" * 125,
    ],
)
def test_what_passes(text: str) -> None:
    assert check_text(text, "x") == text


@pytest.mark.parametrize("code", phrasebook.languages())
def test_real_text_passes(code: str) -> None:
    for pair in phrasebook.pairs(code, 50, 3):
        check_text(pair.foreign, "x")


@given(st.text(st.characters(codec=None)))
def test_only_what_is_named_is_refused(text: str) -> None:
    def wrong(letter: str) -> bool:
        point, category = ord(letter), unicodedata.category(letter)
        beyond = point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
        control = category == "Cc" and letter not in "\t\n\r"
        return (
            beyond
            or control
            or category == "Cs"
            or letter in "\u202a\u202b\u202c\u202d\u202e" + "\u2066\u2067\u2068\u2069"
        )

    if any(wrong(letter) for letter in text):
        if not any(0x202A <= ord(x) <= 0x202C or 0x2066 <= ord(x) <= 0x2069 for x in text):
            refusal(text).message.encode("utf-8")
    else:
        assert check_text(text, "x") == text


pairs = st.sampled_from(["\u202a\u202c", "\u202b\u202c", "\u2066\u2069", "\u2068\u2069"])
marks = st.recursive(
    st.text("ab", max_size=2),
    lambda inner: st.tuples(pairs, inner, inner).map(
        lambda made: f"{made[0][0]}{made[1]}{made[0][1]}{made[2]}"
    ),
    max_leaves=12,
)


@given(marks, st.integers(0, 40))
def test_closed_marks_pass_and_one_taken_out_does_not(text: str, place: int) -> None:
    check_text(text, "x")
    where = [i for i, letter in enumerate(text) if letter not in "ab"]
    if where:
        gone = where[place % len(where)]
        refusal(text[:gone] + text[gone + 1 :])


@pytest.mark.parametrize("text", ["1" * 100_000, "ཀ" * 100_000, "\u2067a\u2069" * 33_333, "\u2067" * 100_000])
def test_long_texts_are_looked_through_quickly(text: str) -> None:
    begun = time.process_time()  # a busy machine is no failure; what takes the square of the length is
    with suppress(ApiError):
        check_text(text, "x")
    assert time.process_time() - begun < 5
