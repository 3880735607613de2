"""Tasks, long texts, copies, and what a person comes back to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from ui_chat import Chat, OpenChat
from ui_process import ChatProcess
from ui_texts import SENTENCES, asked

from llink_ray.corpus import phrasebook

pytestmark = pytest.mark.ui
SEVERAL = [pair.foreign for pair in phrasebook.pairs("bo", 6, seed=9)]


def test_a_long_text_is_translated_sentence_by_sentence(chat: Chat) -> None:
    chat.choose("task", "Translate")
    answer = chat.ask("\n".join(SEVERAL))
    assert len(answer.splitlines()) == len(SEVERAL)
    expect(chat.users.first).to_contain_text("Translate this into English.")
    expect(chat.badge("bo")).to_contain_text("Tibetan")
    chat.shot("translated")


def test_a_text_with_too_many_sentences_names_the_limit(chat: Chat) -> None:
    chat.choose("task", "Summarise")
    chat.write("\n".join(SEVERAL))
    expect(chat.part("error")).to_contain_text(re.compile(r"6 sentences, and the model reads \d at once"))
    expect(chat.box).to_have_value("\n".join(SEVERAL))
    expect(chat.users).to_have_count(0)
    chat.shot("limit")
    chat.box.fill("\n".join(SEVERAL[:2]))
    chat.box.press("Enter")
    expect(chat.answers).to_have_count(1)
    chat.done(0)


def test_a_question_on_a_pasted_text(chat: Chat) -> None:
    chat.choose("task", "Ask about a text")
    chat.write("Who?")
    expect(chat.part("error")).to_contain_text("no text to ask about")
    chat.part("passage").locator("textarea").fill(SENTENCES["ka"])
    chat.box.press("Enter")
    expect(chat.answers).to_have_count(1)
    chat.done(0)
    expect(chat.users).to_contain_text(SENTENCES["ka"])
    expect(chat.badge("ka")).to_contain_text("Georgian")


def test_a_message_is_copied_as_it_was_written(open_chat: OpenChat, ui: ChatProcess) -> None:
    chat = open_chat(ui.url, permissions=["clipboard-read", "clipboard-write"])
    chat.ask(asked("bo"))
    chat.users.first.hover()
    chat.users.first.locator(".llink-copy").click()
    expect(chat.users.first.locator(".llink-copy")).to_have_text("Copied")
    assert chat.page.evaluate("navigator.clipboard.readText()") == asked("bo")


def test_an_edit_can_be_left(chat: Chat) -> None:
    chat.ask(asked("bo"))
    chat.users.first.hover()
    chat.users.first.locator(".llink-edit").click()
    expect(chat.box).to_have_value(asked("bo"))
    chat.click("cancel-edit")
    expect(chat.box).to_have_value("")
    chat.ask(asked("ka"))
    expect(chat.users).to_have_count(2)


def test_what_was_chosen_is_kept_over_a_reload(chat: Chat) -> None:
    dark = "document.body.classList.contains('dark')"
    before = chat.page.evaluate(dark)
    chat.click("theme")
    chat.page.wait_for_function(f"was => ({dark}) !== was", arg=before)
    chat.page.reload()
    chat.ready()
    chat.page.wait_for_function(f"was => ({dark}) !== was", arg=before)


def test_an_earlier_version_stands_beside_it(chat: Chat, votes: Path) -> None:
    chat.switch("compare")
    chat.choose("other", "v0001")
    chat.choose("language", "Khmer")
    chat.switch("consent")
    chat.write(asked("km"))
    expect(chat.part("votes")).to_be_visible()
    sides = [chat.part(side) for side in ("left", "right")]
    expect(sides[1].locator(".llink-model")).to_contain_text("v0001")
    chat.click("vote-right")
    expect(chat.part("votes")).to_be_hidden()
    vote = json.loads(votes.read_text("utf-8").splitlines()[-1])
    assert vote["winner"] == "b"
    assert "v0001" in json.dumps(vote["side_b"]) and "v0002" in json.dumps(vote["side_a"])
    expect(chat.answers).to_have_count(1)
    assert chat.done(0) == vote["answer_b"].strip()
