"""The two normal forms."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.text.normalisation import normalise

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@settings(deadline=None)
@given(any_text)
def test_tidy_is_stable_and_clean(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == unicodedata.normalize("NFC", once)
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in once)
    assert "\u00a0" in once or once == " ".join(once.split())
    once.encode()


@settings(deadline=None)
@given(any_text)
def test_key_is_stable(text: str) -> None:
    key = sentence_key(text)
    assert sentence_key(key) == key
    assert sentence_key(f"  {text}\u200b!\n") == key


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\u0000b\u0007", "ab"),
        (" a\t\u00a0 b\u3000\r\nc ", "a b c"),
        ("\ufeffខ្មែរ\u200bភាសា", "ខ្មែរភាសា"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),
        ("\u200fئۇيغۇر\u200e", "ئۇيغۇر"),
        ("ශ්\u200dරී", "ශ්\u200dරී"),  # Sinhala: without the joiner it is another shape
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian: one word, not joined
        ("ক্\u200dষ", "ক্\u200dষ"),
    ],
)
def test_normalise(text: str, clean: str) -> None:
    assert normalise(text) == clean


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Go, now!", "go now"),
        ("ខ្ញុំ ស្រឡាញ់ អ្នក។", "ខ្ញុំស្រឡាញ់អ្នក"),
        ("བཀྲ་ཤིས་བདེ་ལེགས།", "བཀྲ ཤིས་བདེ་ལེགས"),
        ("ශ්\u200dරී ලංකා", "ශ්රී ලංකා"),
        ("Straße", "STRASSE"),
    ],
)
def test_same_sentence(one: str, other: str) -> None:
    assert sentence_key(one) == sentence_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5 kg", "35 kg"),
        ("1 and 2", "12"),
        ("12 cows", "13 cows"),
        ("ឆ្កែ ១", "ឆ្កែ ២"),
        ("ཀི", "ཀུ"),  # marks are letters here
        ("কি", "কী"),
    ],
)
def test_other_sentence(one: str, other: str) -> None:
    assert sentence_key(one) != sentence_key(other)


def test_punctuation_alone_has_no_key() -> None:
    assert sentence_key("… — !? ።") == ""
