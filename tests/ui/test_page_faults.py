"""What a person is told when something fails, and how he goes on."""

from __future__ import annotations

import re
import signal

import pytest
from listening import free_port
from playwright.sync_api import expect
from ui_chat import Chat, OpenChat
from ui_process import HASTY, ApiProcess, ChatProcess, running
from ui_texts import HEBREW, SENTENCES, asked

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module")
def others(stage: tuple[ApiProcess, ChatProcess], tmp_path_factory: pytest.TempPathFactory) -> object:
    """Chats with a key that may ask seldom, with a wrong one, and with an API that is not there."""
    folder, url = tmp_path_factory.mktemp("others"), stage[0].url
    hasty = ChatProcess(folder / "hasty", url, key=HASTY)
    wrong = ChatProcess(folder / "wrong", url, key="a-key-that-nobody-knows-here")
    down = ChatProcess(folder / "down", f"http://127.0.0.1:{free_port()}")
    with running(hasty, wrong, down):
        yield {"hasty": hasty.url, "wrong": wrong.url, "down": down.url}


def test_an_api_that_dies_in_mid_stream_and_comes_back(chat: Chat, api: ApiProcess) -> None:
    chat.write(HEBREW)
    chat.begun()
    api.end(signal.SIGKILL)
    expect(chat.part("error")).to_contain_text(re.compile(r"Retry", re.IGNORECASE))
    expect(chat.part("stop")).to_be_hidden()
    kept = chat.said(chat.answers.first).inner_text().strip()
    assert kept, "what had arrived is kept"
    chat.shot("broken")
    chat.click("retry")  # while it is away
    expect(chat.part("error")).to_contain_text("cannot be reached")
    api.start()
    api.wait()
    chat.click("retry")
    chat.begun()
    expect(chat.part("error")).to_be_hidden()
    chat.click("stop")
    chat.done()
    expect(chat.users).to_have_count(1)
    chat.ask(asked("bo"))


def test_an_api_that_is_away(open_chat: OpenChat, others: dict[str, str]) -> None:
    chat = open_chat(others["down"])
    expect(chat.part("error")).to_contain_text(re.compile("make serve|make chat|--api"))
    chat.say(SENTENCES["bo"])
    expect(chat.part("error")).to_contain_text("127.0.0.1")
    chat.shot("api-away")


def test_a_wrong_key(open_chat: OpenChat, api: ApiProcess, others: dict[str, str]) -> None:
    chat = open_chat(others["wrong"])
    chat.write(asked("bo"))
    expect(chat.part("error")).to_contain_text(re.compile(r"\bkey\b"))
    assert "nobody-knows" not in chat.page.content()
    chat.shot("wrong-key")


def test_too_many_requests_tell_the_wait(
    open_chat: OpenChat, api: ApiProcess, others: dict[str, str]
) -> None:
    chat = open_chat(others["hasty"])
    for code in ("bo", "km", "am"):
        chat.say(asked(code))
    expect(chat.part("error")).to_contain_text(re.compile(r"\d+\s*(s\b|seconds)"))
    chat.shot("too-many")
    said = chat.users.count()
    chat.write(asked("am"))
    chat.rest()
    expect(chat.users).to_have_count(said)  # said again since nothing was answered: it stands there once


def test_a_text_that_is_too_long(chat: Chat) -> None:
    chat.write(SENTENCES["bo"] * 2_000)
    expect(chat.part("error")).to_contain_text(re.compile("characters|too long|sentences"))
    expect(chat.box).to_be_editable()
    chat.shot("too-long")
