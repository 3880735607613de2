"""What is no text is refused; what only nobody sees is not."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from llink_ray.corpus import phrasebook
from serve.errors import ApiError
from serve.validation import check_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\ud83d", "U+D83D at character 0, half of a surrogate pair: take it out"),
        ("ab\udfff", "U+DFFF at character 2"),
    ],
)
def test_half_a_letter_is_refused(text: str, said: str) -> None:
    with pytest.raises(ApiError) as error:
        check_text(text, "messages[2].content")
    assert error.value.status == 400 and error.value.param == "messages[2].content"
    assert error.value.code == "invalid_text"
    assert error.value.message.startswith("messages[2].content has U+") and said in error.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\tb\r\nc\n\x0b\x0c\u2028\u2029",
        "ab\0 \x1b[31m \x7f \x9b \ufdd0 \U0010ffff",
        "\u202eabc\u202c \u202d a\u202bb a\u202c",
        "\u2067\u202a\u2069\u202c" + "\u2067" * 126,
        "שלום \u2067abc\u2069 \u202bמה\u202c",
        "\u200f\u200e\u061c\u200b\u200c\u200d",
        "👩‍👩‍👧 😀 \ufffd\ufffc\ufeff",
        "\ue000\U000f0000",
    ],
)
def test_what_passes(text: str) -> None:
    check_text(text, "x")


@pytest.mark.parametrize("code", phrasebook.languages())
def test_real_text_passes(code: str) -> None:
    for pair in phrasebook.pairs(code, 50, 3):
        check_text(pair.foreign, "x")


@pytest.mark.parametrize("text", ["1" * 100_000, "ཀ" * 100_000, "\u2067a\u2069" * 33_333])
def test_long_texts_are_looked_through_quickly(text: str) -> None:
    begun = time.process_time()  # a busy machine is no failure; what takes the square of the length is
    with suppress(ApiError):
        check_text(text, "x")
    assert time.process_time() - begun < 5
