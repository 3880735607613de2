"""Side by side, with a vote; thumbs; and the file that the operator named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from ui_chat import Chat
from ui_texts import SENTENCES, asked

pytestmark = pytest.mark.ui


def lines(votes: Path) -> list[dict[str, Any]]:
    """What was written so far."""
    return [json.loads(line) for line in votes.read_text("utf-8").splitlines()] if votes.exists() else []


def test_side_by_side_and_a_vote(chat: Chat, votes: Path) -> None:
    expect(chat.part("consent")).to_be_visible()
    before = len(lines(votes))
    chat.switch("consent")
    chat.switch("compare")
    expect(chat.part("other")).to_be_visible()
    chat.write(asked("bo"))
    left, right = (chat.part(side) for side in ("left", "right"))
    expect(chat.said(left.locator(".llink-answer"))).not_to_be_empty()
    expect(chat.said(right.locator(".llink-answer"))).not_to_be_empty()
    expect(chat.part("stop")).to_be_hidden()
    said = [chat.said(side.locator(".llink-answer")).inner_text().strip() for side in (left, right)]
    boxes = [side.bounding_box() for side in (left, right)]
    assert boxes[0] and boxes[1] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1
    chat.shot("side-by-side")
    chat.click("vote-left")
    chat.until(lambda: len(lines(votes)) == before + 1, "a line is written")
    vote = json.dumps(lines(votes)[-1], ensure_ascii=False)
    assert SENTENCES["bo"] in vote
    for text in said:
        assert json.dumps(text, ensure_ascii=False)[1:-1] in vote
    expect(chat.part("error")).to_contain_text("Kept for evaluation")
    expect(chat.part("votes")).to_be_hidden()
    chat.shot("voted")


def test_thumbs(chat: Chat, votes: Path) -> None:
    chat.ask(asked("ka"))
    before = len(lines(votes))
    chat.switch("consent")
    chat.click("thumb-up")
    chat.until(lambda: len(lines(votes)) == before + 1, "a line is written")
    assert SENTENCES["ka"] in json.dumps(lines(votes)[-1], ensure_ascii=False)


def test_without_consent_nothing_is_kept(chat: Chat, votes: Path) -> None:
    chat.ask(asked("am"))
    before = len(lines(votes))
    chat.click("thumb-down")
    expect(chat.part("error")).to_contain_text("Not kept")
    assert len(lines(votes)) == before
