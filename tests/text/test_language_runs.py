"""A message by language, with the names inside of a foreign sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llink_ray.prompts.conversation import ConversationParser
from llink_ray.prompts.message import TEXT_PLACEHOLDER, Segment, split_message
from llink_ray.settings import SlotSettings
from llink_ray.text.language_runs import language_runs
from llink_ray.text.languages import find

KM = find("km")


@pytest.mark.parametrize(
    "text",
    [
        "គាត់ទិញ iPhone ថ្មី។",
        "គាត់ធ្វើការនៅ Bank of America ក្នុងទីក្រុង។",
        "គាត់រត់បាន 5 km ថ្ងៃនេះ។",
        "គាត់រត់ ៥ km/h ថ្ងៃនេះ។",
        "សត្វនេះ (a small fox) រស់នៅទីនេះ។",
        "គាត់ចូលចិត្ត “time flies” ណាស់។",
        "គាត់រស់នៅ New York។",
        "គាត់មក (with Tom)។",
    ],
)
def test_names_units_and_remarks_belong_to_their_sentence(text: str) -> None:
    assert [(one.start, one.end, one.code) for one in language_runs(text)] == [(0, len(text), "km")]
    assert split_message(text, KM, 9) == [Segment(text)]


@pytest.mark.parametrize(
    "parts",
    [
        ["Compare: ", "គាត់ទៅ ", "with ", "គាត់នៅ"],
        ["គាត់ទៅ ", "or ", "គាត់នៅ?"],
        ["គាត់ទៅ។ ", "Mr. Smith left. ", "គាត់នៅ។"],
        ["គាត់ទៅ។ ", "Tom went home ", "គាត់នៅ។"],
        ["Translate ", "គាត់ទៅ។"],
        ["គាត់ទៅ ", "Summarise."],
        ["គាត់ទៅ ", "Who?"],
        ["Who?\n", "គាត់ទៅ\n", "Tom\n", "គាត់នៅ"],
        ["What does ", "គាត់ទៅ ", "mean?"],
    ],
)
def test_english_stays_english(parts: list[str]) -> None:
    text = "".join(parts)
    assert [text[one.start : one.end] for one in language_runs(text)] == parts


def test_a_sentence_may_begin_with_a_name() -> None:
    assert split_message("គាត់ទៅ។ Google មកដល់។ គាត់នៅ។", KM, 9) == [
        Segment("គាត់ទៅ។"),
        Segment("Google មកដល់។"),
        Segment("គាត់នៅ។"),
    ]


def test_conversations_count_a_sentence_with_a_name_once() -> None:
    said = [("user", "Who?\nគាត់ទិញ iPhone ថ្មី។")]
    one = ConversationParser({"km": SlotSettings(max_sentences=1, numerals=False)}).parse(said)
    assert [sentence.text for sentence in one.sentences] == ["គាត់ទិញ iPhone ថ្មី។"]
    assert one.messages == (("user", f"Who?\n{TEXT_PLACEHOLDER}"),)


@given(st.text(alphabet="aB T.?\n(1)“” គទ។ก", max_size=40))
def test_stretches_cover_the_text_in_order(text: str) -> None:
    result = language_runs(text)
    assert "".join(text[one.start : one.end] for one in result) == text
    assert all(one.start < one.end for one in result)
