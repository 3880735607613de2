"""Text is text: nothing that a user, a model or the API says becomes a part of the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from ui_chat import Chat, OpenChat
from ui_process import ApiProcess, ChatProcess, running
from ui_proxy import proxy
from ui_texts import RUSSIAN, asked

pytestmark = pytest.mark.ui

HOSTILE = [
    "<script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 2'>",
    "![picture](http://127.0.0.1:9/seen.png)",
    "[link](javascript:window.owned=3)",
    "[away](https://evil.example/)",
    "<a href='https://evil.example/' onmouseover='window.owned=4'>here</a>",
    '"><svg onload=window.owned=5>',
    "<iframe src='https://evil.example/'></iframe><style>body { display: none }</style>",
    "</textarea></div><b id=llink-stop onclick=alert(1)>bold</b> {{7*7}} ${7*7} $$x^2$$",
]
ALL = " ".join(HOSTILE)


def no_script_ran(chat: Chat) -> None:
    """Nothing of it came to life."""
    page = chat.page
    assert page.evaluate("window.owned") is None
    for what in ("script", "img", "iframe", "svg[onload]", "a", "style", "b", "[onclick]", ".katex"):
        inside = page.locator(f":is(.llink-text, .llink-badge, .llink-legend, #llink-error) {what}")
        expect(inside).to_have_count(0)
    assert not page.locator("a[href*='evil'], a[href^='javascript']").count()
    assert not [url for url in chat.watch.requests if "seen.png" in url or "evil" in url]


@pytest.fixture(scope="module")
def hostile(stage: tuple[ApiProcess, ChatProcess], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chat whose API is the real one, except that its words and names are hostile."""

    def change(path: str, body: bytes) -> bytes:
        line = body.removeprefix(b"data: ")
        try:
            told: Any = json.loads(line)
        except ValueError:
            return body
        return body[: len(body) - len(line)] + json.dumps(poisoned(told), ensure_ascii=False).encode()

    with proxy(stage[0].url, change=change) as url:
        ui = ChatProcess(tmp_path_factory.mktemp("hostile"), url)
        with running(ui):
            yield ui.url


def poisoned(told: Any) -> Any:
    """The same with every text for people replaced."""
    if isinstance(told, list):
        return [poisoned(one) for one in told]
    if not isinstance(told, dict):
        return told
    found = {key: poisoned(value) for key, value in told.items()}
    for key in ("content", "name", "own_name", "sentence", "message", "version", "owned_by"):
        if isinstance(found.get(key), str) and found[key]:
            found[key] = ALL
    return found


def test_what_a_user_writes_is_text(chat: Chat) -> None:
    for text in HOSTILE:
        chat.say(f"{text} hello")
        expect(chat.said(chat.users.last)).to_contain_text(text)
        no_script_ran(chat)
    chat.settle()
    chat.page.reload()  # as it was kept in the browser, and its title in the list
    chat.ready()
    expect(chat.said(chat.users.last)).to_contain_text(HOSTILE[-1])
    no_script_ran(chat)
    chat.shot("injections")


def test_what_a_model_and_the_api_say_is_text(open_chat: OpenChat, api: ApiProcess, hostile: str) -> None:
    chat = open_chat(hostile)
    chat.write(asked("bo"))
    expect(chat.said(chat.answers.first)).to_contain_text(HOSTILE[0])
    chat.done(0)
    expect(chat.said(chat.answers.first)).to_contain_text("[link](javascript:window.owned=3)")
    no_script_ran(chat)
    chat.shot("hostile-answer")
    chat.write(RUSSIAN)
    expect(chat.part("error")).to_be_visible()
    no_script_ran(chat)


def test_a_browsers_storage_that_is_damaged(chat: Chat) -> None:
    """Whoever can write into a browser's storage gets no further than an empty list."""
    chat.ask(asked("bo"))
    chat.settle()
    for poison in ("<img src=x onerror=window.owned=6>", '{"conversations": [{"id": 1}]}', "null"):
        chat.page.evaluate(
            "poison => { for (const key of Object.keys(localStorage)) localStorage.setItem(key, poison); }",
            poison,
        )
        chat.page.reload()
        chat.ready()
        expect(chat.users).to_have_count(0)
        no_script_ran(chat)
    chat.ask(asked("bo"))


def test_a_text_file_is_text(chat: Chat) -> None:
    chat.upload("<img src=x onerror=window.owned=7>.md", ALL)
    expect(chat.part("passage").locator("textarea")).to_have_value(ALL)
    chat.say("Who?")
    expect(chat.users).to_contain_text(HOSTILE[0])
    no_script_ran(chat)
