"""Tasks: what goes to the model, and what a person is told where nothing can."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import tasks
from ui.api_client import Completion

BO = "ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།"


def test_only_questions_look_at_the_text_beside_them() -> None:
    assert (
        tasks.build_prompt("translate", BO, "hidden", None, "bo").text
        == f"Translate this into English.\n{BO}"
    )
    assert tasks.build_prompt("chat", BO, "hidden", None, "bo").text == BO


def test_chat_is_what_was_written() -> None:
    assert tasks.build_prompt("chat", f"  {BO}\n", "", None, None) == tasks.TaskPrompt(BO)


def test_one_sentence_is_translated_whole_and_several_one_by_one() -> None:
    assert tasks.build_prompt("translate", BO, "", None, "bo").parts == ()
    asked = tasks.build_prompt("translate", f"{BO}{BO}\n{BO}", "", None, "bo")
    assert asked.parts == (f"Translate this into English.\n{BO}",) * 3
    assert tasks.translated_text(asked.text) == f"{BO}{BO}\n{BO}"
    assert tasks.translated_text(BO) is None


def test_a_text_that_is_too_long_says_how_long_it_may_be() -> None:
    with pytest.raises(tasks.TaskError, match=r"has 201 sentences, and up to 200 .* give it in parts"):
        tasks.build_prompt("translate", BO * 201, "", None, "bo")
    assert len(tasks.build_prompt("translate", BO * 200, "", None, "bo").parts) == 200
    with pytest.raises(tasks.TaskError, match=r"has 7 sentences, and the model reads 6 at once: shorten it"):
        tasks.build_prompt("summarise", BO * 7, "", 6, "bo")


def test_summary_and_question_stand_before_the_text() -> None:
    assert tasks.build_prompt("summarise", BO, "", 6, "bo").text == f"Summarise this.\n{BO}"
    assert tasks.build_prompt("ask", "How many?", BO, 6, "bo").text == f"How many?\n{BO}"


@pytest.mark.parametrize(
    ("task", "written", "passage", "told"),
    [
        ("ask", "Who?", " ", "paste one above the question"),
        ("ask", "", BO, "no question"),
        ("translate", "", "", "no text"),
        ("summarise", " \n", "", "no text"),
    ],
)
def test_what_is_missing_is_named(task: tasks.Task, written: str, passage: str, told: str) -> None:
    with pytest.raises(tasks.TaskError, match=told):
        tasks.build_prompt(task, written, passage, None, None)


@given(st.text())
def test_no_text_loses_a_word_when_it_is_split(text: str) -> None:
    found = "".join("".join(tasks.split_sentences(text, "bo")).split())
    assert found == "".join(text.split())


def test_a_file_is_read_as_utf8_and_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + f"{BO}\r\n{BO}\n".encode())
    assert tasks.read_upload(path, 1000) == f"{BO}\n{BO}"
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.pdf", b"text", r"ends in \.txt or \.md"),
        ("a.txt", "Tam\u00e1r".encode("latin-1"), r"not UTF-8 \(byte 3\)"),
        ("a.md", b"x" * 3001, r"has 3 kB, and up to 3 kB"),
        ("a.txt", b" \n", "empty"),
        ("a.txt", b"a\x00b", "no text"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(tasks.TaskError, match=told):
        tasks.read_upload(path, 3000)
    assert not path.exists()


def test_answers_sentence_by_sentence_are_told_as_one() -> None:
    parts = [
        Completion(
            text=text,
            finish_reason="stop",
            usage={"completion_tokens": 10},
            llink={"slots": 8, "sentences": 1, "prompt_tokens": 20, "bundles": {text: {"version": "v0001"}}},
            first_token=0.5,
            tokens_per_second=speed,
        )
        for text, speed in (("a", 10.0), ("b", 5.0))
    ]
    one = tasks.merge(parts)
    assert one.text == "a\nb" and one.usage["completion_tokens"] == 20 and one.llink["slots"] == 16
    assert one.tokens_per_second == pytest.approx(20 / 3) and set(one.llink["bundles"]) == {"a", "b"}
