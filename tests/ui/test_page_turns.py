"""Stop, retry, edit, undo, clear, export, and conversations that the browser keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from ui_chat import Chat
from ui_process import ApiProcess, ChatProcess
from ui_texts import HEBREW, SENTENCES, asked

pytestmark = pytest.mark.ui


def test_stop_cancels_the_request(chat: Chat, api: ApiProcess) -> None:
    before = api.asked("cancelled")
    chat.write(HEBREW)
    chat.begun()
    chat.shot("streaming")
    chat.click("stop")
    kept = chat.done()
    chat.until(lambda: api.asked("cancelled") > before, "the API counts an answer that was broken off")
    assert kept and chat.said(chat.answers.last).inner_text().strip() == kept
    chat.ask(asked("bo"))  # and one can go on
    expect(chat.answers).to_have_count(2)
    chat.shot("stopped")


def test_retry_asks_again(chat: Chat, api: ApiProcess) -> None:
    first = chat.ask(asked("ka"))
    before = api.asked()
    assert chat.again() == first
    assert api.asked() > before, "the API was asked once more"
    expect(chat.users).to_have_count(1)
    expect(chat.answers).to_have_count(1)


def test_undo_takes_the_last_turn_back(chat: Chat) -> None:
    chat.ask(asked("bo"))
    chat.ask(asked("km"))
    chat.click("undo")
    expect(chat.users).to_have_count(1)
    expect(chat.answers).to_have_count(1)
    expect(chat.users.first).to_contain_text(SENTENCES["bo"])


def test_an_edited_message_goes_on_from_there(chat: Chat) -> None:
    chat.ask(asked("bo"))
    chat.ask(asked("km"))
    chat.edit(0, asked("am"))
    expect(chat.users).to_have_count(1)
    expect(chat.users.first).to_contain_text(SENTENCES["am"])
    expect(chat.answers).to_have_count(1)
    chat.done(0)
    expect(chat.badge("am")).to_contain_text("Amharic")


def test_clear_empties_the_conversation(chat: Chat) -> None:
    chat.ask(asked("bo"))
    chat.click("clear")
    expect(chat.users).to_have_count(0)
    expect(chat.answers).to_have_count(0)


def test_export_holds_the_conversation(chat: Chat, tmp_path: Path) -> None:
    answers = [chat.ask(asked("bo")), chat.ask(asked("ka"))]
    markdown = chat.download("export-md", tmp_path / "chat.md").read_text("utf-8")
    document = json.loads(chat.download("export-json", tmp_path / "chat.json").read_text("utf-8"))
    assert SENTENCES["bo"] in markdown and SENTENCES["ka"] in markdown
    messages = document["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert [m["text"].strip() for m in messages[1::2]] == answers
    assert SENTENCES["ka"] in messages[2]["text"]
    plain = re.sub(r"[\\>\s]", "", markdown)
    assert all(re.sub(r"[\\>\s]", "", answer) in plain for answer in answers)


def test_conversations_survive_a_reload(chat: Chat, ui: ChatProcess) -> None:
    first = chat.ask(asked("bo"))
    chat.click("new")
    expect(chat.users).to_have_count(0)
    second = chat.ask(asked("ka"))
    chat.settle()
    chat.page.reload()
    chat.ready()
    expect(chat.answers).to_have_count(1)
    assert chat.done(0) == second
    expect(chat.listed).to_have_count(2)
    chat.open_conversation(1)
    expect(chat.users.first).to_contain_text(SENTENCES["bo"])
    assert chat.done(0) == first
    chat.shot("conversations")
    chat.click("delete")
    expect(chat.users.filter(has_text=SENTENCES["bo"])).to_have_count(0)
    chat.settle()
    chat.page.reload()
    chat.ready()
    expect(chat.listed).to_have_count(1)
