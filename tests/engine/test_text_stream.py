"""Text comes in whole letters, and nothing of a stop string comes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import BYTES, TOKENIZERS

from llink_ray.engine.text_stream import Detokenizer, StopStringFilter, StreamingStrip, TextStream
from llink_ray.engine.vocabulary import Vocabulary

LETTERS = "the river  ང་ཚོ ភាសា አማርኛ 🐟ab\n"
VOCABULARY = Vocabulary(BYTES)


def ids_of(text: str) -> list[int]:
    return list(BYTES(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", ["bytes", "fallback"])
@given(st.text(alphabet=LETTERS, max_size=80))
def test_letters_come_whole(name: str, text: str) -> None:
    made = TOKENIZERS[name]
    stream = Detokenizer(Vocabulary(made))
    pieces = [stream.push(token) for token in made(text, add_special_tokens=False)["input_ids"]]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + stream.flush() == text


def test_a_letter_comes_with_its_last_byte() -> None:
    stream = Detokenizer(VOCABULARY)
    ids = ids_of("ང")
    assert len(ids) == 3
    assert [stream.push(token) for token in ids] == ["", "", "ང"]


def test_bytes_that_are_no_letter_do_not_hold_up_the_rest() -> None:
    stream = Detokenizer(VOCABULARY)
    half = ids_of("ང")[:2]
    said = "".join(stream.push(token) for token in [*half, *ids_of("a river")])
    assert said == "\ufffda river"
    stream.push(half[0])
    assert stream.flush() == "\ufffd"


@given(
    st.lists(st.text(alphabet="abc", max_size=3), max_size=12),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
)
def test_a_stop_string_never_shows(pieces: list[str], stops: list[str]) -> None:
    finder, said, stopped = StopStringFilter(stops), "", False
    for piece in pieces:
        safe, stopped = finder.push(piece)
        said += safe
        if stopped:
            break
    said += "" if stopped else finder.flush()
    text = "".join(pieces)
    assert text.startswith(said)
    assert not any(stop in said for stop in stops)
    assert stopped == any(stop in text for stop in stops)
    assert stopped or said == text
    if stopped:
        assert any(text[len(said) :].startswith(stop) for stop in stops)


@given(st.lists(st.text(alphabet="a \n\u00a0", max_size=4)))
def test_strip_in_pieces(pieces: list[str]) -> None:
    strip = StreamingStrip()
    assert "".join(map(strip.push, pieces)) == "".join(pieces).strip()


def test_half_a_letter_is_left_out_where_the_answer_is_cut() -> None:
    ids = ids_of(" the ང")[:-1]
    for cut, said in ((True, "the"), (False, "the \ufffd")):
        stream = TextStream(VOCABULARY, (), strip=True)
        assert "".join(stream.push(token)[0] for token in ids) + stream.end(cut) == said
    stream = TextStream(VOCABULARY, (), strip=False)
    assert "".join(stream.push(token)[0] for token in ids) + stream.end(True) == " the "


def test_a_stop_string_in_bytes() -> None:
    stream = TextStream(VOCABULARY, ("ཚོ",), strip=True)
    said, stopped = [], False
    for token in ids_of("the ང་ཚོ river"):
        text, stopped = stream.push(token)
        said.append(text)
        if stopped:
            break
    assert stopped and "".join(said) == "the ང་"
