"""Conversations step by step, as a browser keeps them, and as they are exported."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.conversation import Conversation, Message, escape_markdown

SPAN = {"start": 0, "end": 3, "language": "bo", "name": "Tibetan", "confidence": 0.9, "served": True}
METADATA: dict[str, Any] = {
    "model": "llink",
    "llink": {"spans": [SPAN], "slots": 8, "bundles": {"bo": {"version": "v0001"}}},
    "usage": {"completion_tokens": 2},
    "first_token": 0.25,
}


def talk() -> Conversation:
    """Two questions with their answers."""
    one = Conversation.new().with_user("བོད").with_spans([SPAN])
    one = one.with_answer(Message("assistant", "Tibet", (), METADATA)).with_user("How many?")
    return one.with_answer(Message("assistant", "two", error="You stopped this answer."))


def texts(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation.messages]


def test_steps_back_and_on() -> None:
    said = talk()
    assert texts(said.without_answer()) == ["བོད", "Tibet", "How many?"]
    assert texts(said.without_answer().without_answer()) == ["བོད", "Tibet", "How many?"]
    assert texts(said.undone()) == ["བོད", "Tibet"]
    assert texts(said.undone().undone()) == []
    assert texts(said.truncated(0).with_user("བོད་ཡིག")) == ["བོད་ཡིག"]
    assert texts(said) == ["བོད", "Tibet", "How many?", "two"], "nothing changes in place"
    empty = Conversation.new()
    assert empty.undone() == empty.without_answer() == empty.with_vote("up") == empty


def test_what_is_said_again_since_nothing_was_answered_stands_there_once() -> None:
    before = talk()
    said = before.with_user("And now?")
    assert said.without_unanswered("And now?") == before
    assert said.without_unanswered("Another") == said
    assert before.without_unanswered("How many?") == before, "it was answered"
    assert Conversation.new().without_unanswered("").messages == ()


def test_an_answer_that_never_came_is_not_sent() -> None:
    said = Conversation.new().with_user("a").with_answer(Message("assistant", "", error="x")).with_user("b")
    assert said.api_messages() == [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]


def test_what_a_browser_kept_comes_back() -> None:
    said = talk().with_vote("down")
    assert Conversation.from_json(json.loads(json.dumps(said.to_json()))) == said
    assert said.messages[-1].vote == "down"


def test_a_conversation_stored_in_format_1_comes_back() -> None:
    data = talk().to_json() | {"format": 1}
    for message in data["messages"]:
        message["seen"] = message.pop("metadata")
    assert Conversation.from_json(data).to_json() == talk().to_json() | {"id": data["id"]}


def test_fields_that_nobody_knows_are_left_out() -> None:
    data = talk().to_json() | {"later": 1}
    data["messages"][1]["metadata"]["llink"]["extra"] = {"x": "<img>"}
    assert Conversation.from_json(data) == Conversation.from_json(talk().to_json() | {"id": data["id"]})


@pytest.mark.parametrize(
    "change",
    [
        {"id": "<img src=x>"},
        {"id": None},
        {"messages": [{"role": "system", "text": "x"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "text": ["x"]}]},
        {"messages": [{"role": "user", "text": "x" * 500_001}]},
        {"messages": [{"role": "user", "text": "x", "spans": [{"start": -1, "end": 2}]}]},
        {"messages": [{"role": "user", "text": "x", "spans": [{"start": 0, "end": 2, "language": "<b>"}]}]},
        {"messages": [{"role": "assistant", "text": "x", "metadata": {"llink": {"slots": "many"}}}]},
        {"messages": [{"role": "assistant", "text": "x", "seen": {"first_token": float("nan")}}]},
        {"messages": [{"role": "assistant", "text": "x", "vote": "sideways"}]},
        {"messages": "abc"},
    ],
)
def test_what_is_no_conversation_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Conversation.from_json(talk().to_json() | change)


@pytest.mark.parametrize("data", [None, 3, "x", [], {}, {"id": 1}])
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        Conversation.from_json(data)


def test_the_export_says_who_said_what() -> None:
    told = talk().markdown(datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    assert told == (
        "# Conversation\n\n*2026-01-02 03:04 UTC*\n\n**You**\n\n> བོད\n\n**Answer (llink)**\n\n> Tibet\n\n"
        "**You**\n\n> How many?\n\n**Answer**\n\n> two\n\n*You stopped this answer.*\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>1</script>", r"\<script\>1\</script\>"),
        ("![x](http://h/y.png)", r"\!\[x\](http\://h/y.png)"),
        ("# no *heading*", r"\# no \*heading\*"),
        ("1. first", r"1\. first"),
        ("- item - more", r"\- item - more"),
        ("    code", "\u00a0\u00a0\u00a0\u00a0code"),
        ("see www.example.org or a@b.c", r"see www\.example.org or a\@b.c"),
        ("It is 3.5. Good.", "It is 3.5. Good."),
    ],
)
def test_what_was_said_is_no_markup_in_the_export(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


@given(st.text(alphabet="\\`*_[]<>#!|~&$@^:/w.1)-+= a\t", max_size=30))
def test_an_exported_line_reads_as_it_was_said(line: str) -> None:
    """Taking a backslash from before each sign gives it back, as a reader of Markdown does."""
    found, escaped = "", False
    for letter in escape_markdown(line):
        if letter == "\\" and not escaped:
            escaped = True
            continue
        assert escaped or letter not in "`*_[]<>#!|~&$@^"
        found, escaped = found + letter, False
    assert found == line[len(line) - len(line.lstrip(" \t")) :].rjust(len(line), "\u00a0")
