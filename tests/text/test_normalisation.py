"""The normal form of text: what nobody sees goes, what a script needs stays, and places are kept."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.corpus import phrasebook
from llink_ray.text.normalisation import FIRST_VERSION, VERSION, normalise, visible, visible_with_offsets

CHANGES = {
    "byte order mark before": lambda t: f"\ufeff{t}",
    "left-to-right mark before": lambda t: f"\u200e{t}",
    "Arabic letter mark in the middle": lambda t: f"{t[: len(t) // 2]}\u061c{t[len(t) // 2 :]}",
    "zero-width space behind": lambda t: f"{t}\u200b",
    "no-break blanks": lambda t: t.replace(" ", "\u00a0"),
    "an override, closed": lambda t: f"\u202e{t}\u202c",
    "an isolate, left open": lambda t: f"\u2067{t}",
    "invisible separator in the middle": lambda t: f"{t[: len(t) // 2]}\u2063{t[len(t) // 2 :]}",
    "soft hyphen in the middle": lambda t: f"{t[: len(t) // 2]}\u00ad{t[len(t) // 2 :]}",
    "Khmer's inherent vowel behind": lambda t: f"{t}\u17b4",
    "joiners around": lambda t: f"\u200d{t}\u200c",
    "tshegs that no line ends at": lambda t: t.replace("\u0f0b", "\u0f0c"),
}
"""Ways in which one text is written so that nobody sees a difference."""


@pytest.mark.parametrize("code", phrasebook.languages())
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_texts_that_look_the_same_are_the_same(code: str, change: object) -> None:
    assert callable(change)
    for pair in phrasebook.pairs(code, 40, 991):
        assert normalise(change(pair.foreign)) == pair.foreign == normalise(pair.foreign)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        # Every letter without a shape, wherever it stands.
        ("བོད\u2060\u2061\u2064\u206a\u206f་\u115f\u1160ཡིག\ufe00\ufe0f", "བོད་ཡིག"),
        ("ខ្ញុំ\u17b5\u17b4 ទៅ\u034f", "ខ្ញុំ ទៅ"),
        ("გა\u00adმარ\u00ad\u200bჯობა\U000e0041\U000e0100", "გამარჯობა"),
        ("ሰላ\U0001bca0ም\U0001d173\u180e\u180b\ufffe\U0001ffff\ufff9", "ሰላም"),
        ("5\u200e6\ufe0f0", "560"),
        ("a\0\x1b[1m\x7f\x9bb\ud800", "a[1mb"),
        # Blanks and line breaks are written in one way.
        ("a\u2007b\u3000c\u3164d\u2800e\x1ff", "a b c d e f"),
        ("a\x0bb\x0cc\u2028d\u2029e\x85f\r\ng\rh\ti", "a\nb\nc\nd\ne\nf\ng\nh\ti"),
        ("Wi\u2011Fi", "Wi-Fi"),
        ("e\u200b\u0301", "é"),
        # A no-break blank within a number.
        ("12\u202f345\u00a0678 და 5\u00a060", "12\u00a0345\u00a0678 და 5 60"),
        ("1\u200e2\u00a0\u200b345", "12\u00a0345"),
        ("1234\u00a0567, 1\u00a02345", "1234 567, 1 2345"),
        # Joiners where no letter takes notice of them.
        ("བོད\u200d་ཡིག\u200c", "བོད་ཡིག"),
        ("ក\u200c\u17d2ក\u17d2\u200dក ကျောင်း\u200cသား", "ក\u17d2ក\u17d2ក ကျောင်းသား"),
        ("ლა\u200dმა sol\u200cid 1\u200d2", "ლამა solid 12"),
        ("හ\u200cරි \u200d ක", "හරි  ක"),
        ("می\u200c خانه\u200c.", "می خانه."),
    ],
)
def test_what_nobody_sees_goes(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        "ශ\u0dca\u200dර\u0dd3 ව\u0dd2ද\u0dca\u200dය\u0dcf",  # Sinhala
        "അവന\u0d4d\u200d വന\u0d4d\u200cന, ൻ\u200cമ",  # Malayalam, both kinds of chillu
        "র\u200d\u09cdয\u09bc\u09be র\u200c\u09cdয\u09be\u09ac ন\u09cd\u200c",  # Bengali
        "क\u094d\u200dष गर\u094d\u200dय\u094b द\u094d\u200cव",  # Hindi, Nepali
        "క\u0c4d\u200cల ర\u0c4d\u200c",  # Telugu
        "می\u200cخواهم خانه\u200cها ۱۳۹۰ ه\u200d.",  # Persian
        "ئ\u200dىل",  # Uyghur
        "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd\u200d\u2764\ufe0f",  # pictures
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",  # a flag
        "漢\U000e0100 ᠬᠠ\u180eᠠ\u180b",
        "\u1112\u1160\u11ab",  # Hangul in pieces
        "\ufffd\ue000",
    ],
)
def test_what_a_script_needs_stays(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert visible(text) == normalise(text) == text
    assert normalise(f"\ufeff{text}\u200b") == text


def test_a_second_joiner_does_nothing() -> None:
    assert visible("න\u0dca\u200d\u200d\u200cද") == "න\u0dca\u200dද"


def test_the_first_form_is_what_older_bundles_were_trained_on() -> None:
    assert normalise("a\u00a0 b\t\u200bc\n", FIRST_VERSION) == normalise("a\u00a0 b\t\u200bc\n") == "a b c"
    # Numbers were parted; letters that it knew nothing of go all the same.
    assert normalise("12\u00a0345\u2063", FIRST_VERSION) == "12 345"
    assert normalise("12\u00a0345\u2063", VERSION) == "12\u00a0345"


pieces = st.sampled_from(
    "།\u0f0c\u200d\u200c\u094d\u0dca\u0dd9\u0bc6\u0bbe\u0301\u0323\u1100\u1161\u1160\u3164\u034f\ufe0f❤漢"
    "\U000e0100\U0001f469\u00a0 12345\r\n\x0b\u200e\ufeffم\u1820\u180e\ud800\ufffe"
)
any_text = st.text(st.one_of(pieces, st.characters(exclude_categories=())))


@settings(deadline=None)
@given(any_text)
def test_the_form_is_stable_and_can_be_written(text: str) -> None:
    seen, whole = visible(text), normalise(text)
    assert visible(seen) == seen and visible(whole) == normalise(whole) == normalise(seen) == whole
    assert unicodedata.is_normalized("NFC", seen) and unicodedata.is_normalized("NFC", whole)
    assert normalise(normalise(text, FIRST_VERSION), FIRST_VERSION) == normalise(text, FIRST_VERSION)
    whole.encode(), normalise(text, FIRST_VERSION).encode()


@settings(deadline=None)
@given(any_text)
def test_places_lead_back(text: str) -> None:
    result = visible_with_offsets(text)
    assert result.text == visible(text)
    places = [result.original_offset(i) for i in range(len(result.text) + 1)]
    assert places == sorted(places) and places[-1] == len(text)
    for letter, original_offset in zip(result.text, places, strict=False):
        if letter in text and letter not in " \n-" and unicodedata.is_normalized("NFC", text):
            assert text[original_offset] == letter


@pytest.mark.parametrize("text", ["ཀ" * 100_000, "\u2067a" * 50_000, "क\u094d\u200d" * 30_000, "é" * 50_000])
def test_long_texts_are_read_quickly(text: str) -> None:
    begun = time.process_time()  # what takes the square of the length would take minutes
    visible(text), visible_with_offsets(text)
    assert time.process_time() - begun < 5
