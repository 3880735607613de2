"""A wire to the API that breaks, is slow, or turns people away; and a chat that is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Browser, expect
from ui_chat import Chat, OpenChat, visit
from ui_process import ApiProcess, ChatProcess, running
from ui_texts import HEBREW, SENTENCES, asked
from ui_wire import Wire, wire

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module")
def strung(
    stage: tuple[ApiProcess, ChatProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Wire, str]]:
    """A wire, and the address of a chat at its end that asks one thing at a time."""
    with wire(stage[0].url) as made:
        ui = ChatProcess(tmp_path_factory.mktemp("strung"), made.url, "--set", "concurrent=1")
        with running(ui):
            yield made, ui.url


@pytest.fixture
def line(strung: tuple[Wire, str], api: ApiProcess) -> Wire:
    """The wire, whole."""
    strung[0].heal()
    return strung[0]


@pytest.fixture
def far(open_chat: OpenChat, strung: tuple[Wire, str], line: Wire) -> Chat:
    """A page at its end."""
    return open_chat(strung[1])


def test_who_asks_before_the_api_has_spoken(browser: Browser, strung: tuple[Wire, str], line: Wire) -> None:
    """The first page of this chat, which knows nothing of the API yet."""
    line.delay = 5.0
    with visit(browser, strung[1]) as chat:
        expect(chat.box).to_be_editable()
        with suppress(AssertionError):  # a page that waits for the API before it shows anything
            expect(chat.listed).not_to_have_count(0, timeout=2500)
        chat.write(HEBREW)
        chat.begun()
        line.heal()
        expect(chat.part("examples")).to_be_hidden()
        chat.finish()
        expect(chat.users).to_have_count(1)
        assert "Khmer" in "\n".join(chat.choices("language"))


def test_an_answer_that_is_cut_keeps_what_arrived(far: Chat, line: Wire) -> None:
    far.write(HEBREW)
    far.begun()
    line.cut_after = 0
    expect(far.part("error")).to_contain_text("Retry")
    kept = far.done()
    expect(far.answers).to_have_count(1)
    expect(far.answers.first).to_contain_text("broke off")
    line.heal()
    far.click("retry")
    far.begun()
    expect(far.part("error")).to_be_hidden()
    expect(far.answers).to_have_count(1)
    far.finish()
    again = far.done()
    short = min(len(kept), len(again))
    assert again[:short] == kept[:short], "it says the same from its beginning"


def test_stop_before_the_first_word(far: Chat, line: Wire, api: ApiProcess) -> None:
    before = api.asked("cancelled")
    line.pace = 20.0
    far.write(HEBREW)
    expect(far.part("stop")).to_be_visible()
    far.page.wait_for_timeout(500)
    far.click("stop")
    expect(far.page.locator(".llink-coming")).to_have_count(0)
    expect(far.users).to_have_count(1)
    far.until(lambda: api.asked("cancelled") > before, "the API counts it")
    line.heal()
    far.click("retry")
    far.begun()
    far.finish()


def test_who_is_turned_away_is_told_how_long(far: Chat, line: Wire) -> None:
    line.wait = 17
    far.write(asked("ka"))
    expect(far.part("error")).to_contain_text("17 seconds")
    far.shot("busy")
    line.heal()
    far.click("retry")
    expect(far.answers).to_have_count(1)
    far.done(0)
    expect(far.part("error")).to_be_hidden()


def test_a_wire_that_is_gone(far: Chat, line: Wire) -> None:
    line.refuses = True
    far.write(asked("km"))
    expect(far.part("error")).to_contain_text("make serve")
    expect(far.users).to_contain_text(SENTENCES["km"])
    line.heal()
    far.click("retry")
    expect(far.answers).to_have_count(1)
    far.done(0)


def test_a_page_that_is_closed_ends_its_answer(
    far: Chat, open_chat: OpenChat, strung: tuple[Wire, str], api: ApiProcess
) -> None:
    before = api.asked("cancelled")
    far.write(HEBREW)
    far.begun()
    other = open_chat(strung[1])
    other.write(asked("bo"))
    expect(other.part("error")).to_contain_text("1 answer is being written here")
    expect(other.box).to_have_value(asked("bo"))
    other.shot("full")
    far.page.goto("about:blank")
    other.until(lambda: api.asked("cancelled") > before, "the API counts it")
    other.box.press("Enter")
    expect(other.answers).to_have_count(1)
    other.done(0)
