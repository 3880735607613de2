"""Two people at once, a path prefix, and a login."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect
from ui_chat import Chat, OpenChat, visit
from ui_process import ApiProcess, ChatProcess, running
from ui_proxy import proxy
from ui_texts import HEBREW, SENTENCES, asked

pytestmark = pytest.mark.ui


def test_two_people_do_not_see_each_other(open_chat: OpenChat, ui: ChatProcess) -> None:
    one, two = open_chat(ui.url), open_chat(ui.url)
    one.write(HEBREW)
    one.begun()
    two.ask(asked("ka"))  # while the other's answer still comes
    expect(one.part("stop")).to_be_visible()
    assert HEBREW not in two.page.content() and SENTENCES["ka"] not in one.page.content()
    one.click("stop")
    one.done()
    for chat in (one, two):
        chat.settle()
        chat.page.reload()
        chat.ready()
        expect(chat.users).to_have_count(1)
    expect(one.users).to_contain_text(HEBREW)
    expect(two.users).to_contain_text(SENTENCES["ka"])
    assert HEBREW not in two.page.content() and SENTENCES["ka"] not in one.page.content()
    three = open_chat(ui.url)
    expect(three.users).to_have_count(0)


@pytest.fixture(scope="module")
def guarded(stage: tuple[ApiProcess, ChatProcess], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chat with a login, under a prefix behind a proxy."""
    with ExitStack() as stack:
        ui = ChatProcess(
            tmp_path_factory.mktemp("guarded"),
            stage[0].url,
            "--root-path",
            "/tools/chat",
            LLINK_UI_LOGIN="tashi:a-long-password-for-the-tests",
        )
        stack.enter_context(running(ui))
        yield stack.enter_context(proxy(ui.url, prefix="/tools/chat"))


def test_a_login_under_a_prefix(browser: Browser, api: ApiProcess, guarded: str) -> None:
    with visit(browser, f"{guarded}/") as chat:
        expect(chat.page.locator("input[type=password]")).to_be_visible()
        assert not chat.box.count()
        log_in(chat, "a wrong one")
        expect(chat.page.get_by_text(re.compile("incorrect|wrong|invalid", re.IGNORECASE))).to_be_visible()
        chat.shot("login")
        log_in(chat, "a-long-password-for-the-tests")
        chat.ready()
        assert "tashi" not in chat.ask(asked("bo"))
        assert all("/tools/chat" in url for url in chat.watch.requests if url.startswith("http"))


def log_in(chat: Chat, password: str) -> None:
    """Fill in the form."""
    chat.page.locator("input:not([type=password])").first.fill("tashi")
    chat.page.locator("input[type=password]").fill(password)
    chat.page.locator("input[type=password]").press("Enter")
