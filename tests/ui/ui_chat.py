"""The page as a person uses it, and what it must never do."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    expect,
)
from ui_process import ROOT

PATIENCE = 30_000
"""Milliseconds: a busy machine is no failure."""
SHOTS = Path(os.environ.get("LLINK_SCREENSHOTS") or ROOT / "build/screenshots")
"""Where pictures of the page go."""
expect.set_options(timeout=PATIENCE)


def is_outside(url: str) -> bool:
    """Whether it leads to another machine."""
    parts = urlsplit(url)
    if parts.scheme in {"data", "blob", "about"}:
        return False
    return parts.hostname not in {"127.0.0.1", "localhost", "::1"}


class Watch:
    """What a page asks for and complains of."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[str] = []
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        context.on("request", self._asked)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("dialog", self._opened)
        context.route(is_outside, lambda route: route.abort())

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)
        if is_outside(request.url):
            self.outside.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.errors.append(message.text)

    def _opened(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def check(self) -> None:
        """Nothing was asked of another machine, no script failed or opened a box."""
        assert self.requests, "nothing was asked for at all"
        assert not self.outside
        assert not self.errors
        assert not self.dialogs


class Chat:
    """One open page."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page, self.watch = page, watch

    def part(self, name: str) -> Locator:
        """``#llink-name``."""
        return self.page.locator(f"#llink-{name}")

    def inner(self, name: str, tag: str) -> Locator:
        """What of a component takes the click or the letters."""
        part = self.part(name)
        return part if part.evaluate("(e, tag) => e.matches(tag)", tag) else part.locator(tag).first

    @property
    def box(self) -> Locator:
        """Where one writes."""
        return self.page.locator("#llink-input textarea").first

    @property
    def users(self) -> Locator:
        """What was asked."""
        return self.page.locator("#llink-chat .llink-user")

    @property
    def answers(self) -> Locator:
        """What was answered."""
        return self.page.locator("#llink-chat .llink-answer")

    def ready(self) -> Chat:
        """Once one can write, and what the browser keeps is there."""
        expect(self.box).to_be_editable()
        expect(self.listed).not_to_have_count(0)
        return self

    def click(self, name: str) -> None:
        """A button by its name."""
        self.inner(name, "button").click()

    def write(self, text: str) -> None:
        """Send it, without waiting for an answer."""
        self.box.fill(text)
        self.box.press("Enter")

    def rest(self) -> None:
        """Until nothing is on its way: the button to stop it may come after the first words."""
        expect(self.page.locator(".llink-coming")).to_have_count(0)
        expect(self.part("stop")).to_be_hidden()

    def say(self, text: str) -> None:
        """Send it and wait for what comes of it, an answer or a refusal."""
        before = self.users.count()
        self.write(text)
        expect(self.users).to_have_count(before + 1)
        self.rest()

    def ask(self, text: str) -> str:
        """Send it and wait for the whole answer."""
        before = self.answers.count()
        self.write(text)
        expect(self.answers).to_have_count(before + 1)
        return self.done(before)

    def again(self) -> str:
        """Retry, and wait for the whole new answer in place of the last."""
        before = self.answers.count()
        self.answers.last.evaluate("e => { e.dataset.old = ''; }")
        self.click("retry")
        expect(self.page.locator("[data-old]")).to_have_count(0)
        expect(self.answers).to_have_count(before)
        return self.done()

    def done(self, place: int = -1) -> str:
        """The answer once it is whole."""
        self.rest()
        answer = self.answers.nth(place)
        expect(self.said(answer)).to_have_text(re.compile(r"\S"))
        return self.said(answer).inner_text().strip()

    def said(self, message: Locator) -> Locator:
        """The text of a message."""
        return message.locator(".llink-text")

    def begun(self, place: int = -1) -> None:
        """Wait until an answer has a few words and still goes on."""
        expect(self.said(self.answers.nth(place))).to_have_text(re.compile(r"\S{3}|\S\s+\S"))
        expect(self.part("stop")).to_be_visible()

    def begun_or_done(self) -> None:
        """Wait for the first words."""
        expect(self.said(self.answers.last)).to_have_text(re.compile(r"\S"))

    def finish(self) -> None:
        """Break off what still comes."""
        if self.part("stop").is_visible():
            self.click("stop")
        self.done()

    def edit(self, place: int, text: str) -> None:
        """Write a message of one's own anew."""
        message = self.users.nth(place)
        was = self.said(message).inner_text().strip()
        message.hover()
        message.locator(".llink-edit").click()
        expect(self.box).to_have_value(was)
        self.box.fill(text)
        self.box.press("Enter")

    def badge(self, code: str, place: int = -1) -> Locator:
        """What a message of the user was taken for, of a language."""
        return self.users.nth(place).locator(f".llink-badge[data-language={code}]")

    def upload(self, name: str, text: str) -> None:
        """Open a file."""
        with self.page.expect_file_chooser() as chooser:
            self.click("file")
        chooser.value.set_files({"name": name, "mimeType": "text/plain", "buffer": text.encode()})

    def choose(self, name: str, words: str) -> None:
        """Take an entry of a menu."""
        self._unfold(name)
        self.page.get_by_role("option").filter(has_text=words).first.click()

    def choices(self, name: str) -> list[str]:
        """A menu's entries."""
        self._unfold(name)
        expect(self.page.get_by_role("option").first).to_be_visible()
        found = self.page.get_by_role("option").all_inner_texts()
        self.page.keyboard.press("Escape")
        return found

    def _unfold(self, name: str) -> None:
        self.part(name).locator("input").first.click()

    def switch(self, name: str) -> None:
        """Turn a switch."""
        self.part(name).locator("input[type=checkbox]").first.click()

    def download(self, name: str, file: Path) -> Path:
        """What a button hands out."""
        with self.page.expect_download() as told:
            self.inner(name, "button, a").click()
        told.value.save_as(file)
        return file

    @property
    def listed(self) -> Locator:
        """Names of the conversations that the browser keeps, the newest first."""
        return self.part("conversations").locator("label")

    def open_conversation(self, place: int) -> None:
        """Go to one of them."""
        self.listed.nth(place).click()

    def settle(self) -> None:
        """Until the browser keeps what is shown: its storage has stopped changing."""
        kept, since = None, time.monotonic()
        while time.monotonic() - since < 0.7:
            now = self.page.evaluate("JSON.stringify(Object.entries(localStorage))")
            if now != kept:
                kept, since = now, time.monotonic()
            self.page.wait_for_timeout(50)

    def until(self, true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        """Wait for it; the page goes on meanwhile."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} seconds"
            self.page.wait_for_timeout(50)

    def edges(self, message: Locator, word: str) -> dict[str, float]:
        """Where a word stands."""
        found: dict[str, float] = message.evaluate(
            """(e, word) => { const walk = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
            while (walk.nextNode()) { const at = walk.currentNode.data.indexOf(word); if (at >= 0) {
              const range = document.createRange(); range.setStart(walk.currentNode, at);
              range.setEnd(walk.currentNode, at + word.length);
              const box = range.getBoundingClientRect(); return {left: box.left, right: box.right}; } } }""",
            word,
        )
        return found

    def tab_to(self, selector: str) -> bool:
        """Whether the tabulator key leads there, from where one is."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("s => !!document.activeElement.closest(s)", selector):
                return True
        return False

    def shot(self, name: str, whole: bool = False) -> Path:
        """A picture of it."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        file = SHOTS / f"{name}.png"
        self.page.screenshot(path=file, full_page=whole, animations="disabled")
        return file


OpenChat = Callable[..., Chat]
"""``open_chat(url)`` of conftest.py."""


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Chat]:
    """A person with a browser of his own; what the page did meanwhile is checked at the end."""
    options = {"viewport": {"width": 1180, "height": 860}, "locale": "en-GB"} | options
    context = browser.new_context(**options)
    try:
        context.set_default_timeout(PATIENCE)
        watch = Watch(context)
        page = context.new_page()
        page.goto(url)
        yield Chat(page, watch)
        watch.check()
    finally:
        context.close()
