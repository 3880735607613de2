"""Messages taken apart: sentences by the language's marks, English apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.prompts.message import TEXT_PLACEHOLDER, Segment, number_sentences, split_message
from llink_ray.text.languages import find

BO, KM, AM, KA, MY = (find(code) for code in ("bo", "km", "am", "ka", "my"))


@pytest.mark.parametrize("code", phrasebook.languages())
def test_a_passage_of_the_phrasebook_comes_apart_where_it_was_put_together(code: str) -> None:
    language = find(code)
    texts = [pair.foreign for pair in phrasebook.pairs(code, 120, 5)]
    for size in (1, 2, 6):
        for start in range(0, len(texts) - size, size):
            part = texts[start : start + size]
            assert split_message(" ".join(part), language, 16) == [Segment(text) for text in part]


@given(st.text(alphabet="ང་ཡོད། \n༡a.?!ខ។ሀ።ა", max_size=40), st.sampled_from([BO, KM, AM, KA, MY]))
def test_no_letter_is_lost(text: str, language: object) -> None:
    parts = split_message(text, language, 99)  # type: ignore[arg-type]
    assert "".join("".join(part.text for part in parts).split()) == "".join(text.split())
    assert parts


def test_english_stays_text() -> None:
    message = "Please translate: ང་ཡོད། ཁྱོད་ཡོད། Thanks, my friend."
    assert split_message(message, BO, 16) == [
        Segment("Please translate:", False),
        Segment("ང་ཡོད།"),
        Segment("ཁྱོད་ཡོད།"),
        Segment("Thanks, my friend.", False),
    ]
    assert split_message("Only English here.", BO, 16) == [Segment("Only English here.", False)]


def test_shortened_words_of_english_do_not_move_the_numbers_of_what_follows() -> None:
    message = "ང་ཡོད། Mrs. Dolma sold 3.5 kg at 5 p.m. yesterday. ཁྱོད་ཡོད།"
    assert split_message(message, BO, 16) == [
        Segment("ང་ཡོད།"),
        Segment("Mrs. Dolma sold 3.5 kg at 5 p.m. yesterday.", False),
        Segment("ཁྱོད་ཡོད།"),
    ]


def test_one_text_where_one_is_all_there_is_room_for() -> None:
    message = "Please: ང་ཡོད། ཁྱོད་ཡོད།"
    assert split_message(message, BO, 1) == [Segment(message)]


def test_too_many_sentences_are_refused_with_what_fits() -> None:
    with pytest.raises(LlinkError, match=r"has 5 Tibetan sentences, and 4 fit.*slots\.max_sentences"):
        split_message("ང་ཡོད། " * 5, BO, 4)
    assert len(split_message("ང་ཡོད། " * 4 + "And so on.", BO, 4)) == 5


def test_sentences_are_numbered_only_where_there_are_several() -> None:
    assert number_sentences(["One."]) == "One."
    assert number_sentences(["One.", TEXT_PLACEHOLDER, "Two."]) == f" [1] One. [2]{TEXT_PLACEHOLDER} [3] Two."
