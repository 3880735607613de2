"""Examples: of every language with a phrasebook, in its script, with what they mean."""

from __future__ import annotations

import pytest

from llink_ray.corpus.phrasebook import languages, pairs, part_of
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.text.detection import detect, spans
from llink_ray.text.languages import find
from ui import examples


@pytest.mark.parametrize("code", languages())
def test_each_language_has_three_with_their_meaning(code: str) -> None:
    found = examples.examples(code)
    assert len(found) == 3 and len({one.foreign for one in found}) == 3
    for one in found:
        assert detect(one.foreign).code == code
        assert one.text == f"{one.instruction} {one.foreign}"
        assert one.english.isascii() and part_of(one.english) == "bundle"  # what bundles were taught to read
    assert found[-1].instruction == TRANSLATE_INSTRUCTION and found[-1].answer == found[-1].english


def test_they_are_shown_in_their_script_beside_their_meaning() -> None:
    html = examples.examples_html(["bo", "xx", "am", "bo"])
    assert html.count("<section>") == 3  # Tibetan, Amharic, both at once
    assert find("bo").own_name in html and "Amharic" in html
    for one in (*examples.examples("bo"), *examples.examples("am")):
        assert one.foreign in html and one.english in html


def test_nothing_is_offered_where_nothing_is_known() -> None:
    assert examples.examples_html([]) == "" and examples.examples("en") == ()
    assert examples.mixed_example(["bo"]) is None
    both = examples.mixed_example(["bo", "km"])
    assert both is not None and {span.code for span in spans(both.foreign)} == {"bo", "km"}


def test_the_phrasebook_is_that_of_training() -> None:
    assert {one.foreign for one in pairs("bo", 400, 5)} >= {one.foreign for one in examples.examples("bo")}
