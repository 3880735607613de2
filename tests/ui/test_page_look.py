"""Dark and light, a phone, writing from right to left, and the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from ui_chat import Chat, OpenChat
from ui_process import ChatProcess
from ui_texts import HEBREW, MIXED, asked

pytestmark = pytest.mark.ui

CONTRAST = """e => {
  const rgb = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const lum = ([r, g, b]) => [r, g, b].map(v => { v /= 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
    .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  let behind = e, back = [0, 0, 0, 0];
  while (behind && (back.length > 3 && back[3] < .5)) {
    back = rgb(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
  const [x, y] = [lum(rgb(getComputedStyle(e).color)), lum(back)].sort((p, q) => q - p);
  return (x + .05) / (y + .05);
}"""
"""Of a text against what is behind it, as WCAG has it."""
DARK = """() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
  return r + g + b < 200; }"""


def readable(chat: Chat) -> None:
    """Every kind of text has contrast enough, once colours have stopped changing."""
    for text in (chat.said(chat.users.first), chat.said(chat.answers.first), chat.box):
        chat.until(lambda text=text: text.evaluate(CONTRAST) >= 4.5, "contrast of a text")  # type: ignore[misc]
    for badge in chat.page.locator(".llink-badge").all():
        chat.until(lambda badge=badge: badge.evaluate(CONTRAST) >= 4.5, "contrast of a badge")  # type: ignore[misc]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(open_chat: OpenChat, ui: ChatProcess, scheme: str) -> None:
    chat = open_chat(ui.url, color_scheme=scheme)
    expect(chat.part("examples")).to_contain_text("Khmer")
    chat.shot(f"empty-{scheme}")
    chat.ask(MIXED)
    assert chat.page.evaluate(DARK) == (scheme == "dark")
    readable(chat)
    chat.shot(f"chat-{scheme}")
    chat.click("theme")
    chat.page.wait_for_function(f"want => ({DARK})() === want", arg=scheme == "light")
    readable(chat)


@pytest.mark.parametrize("text", [asked("am"), HEBREW], ids=["amharic", "hebrew"])
def test_a_phone(open_chat: OpenChat, ui: ChatProcess, text: str) -> None:
    chat = open_chat(ui.url, viewport={"width": 375, "height": 720}, has_touch=True, is_mobile=True)
    fits(chat)
    chat.shot("phone-empty")
    chat.write(text)
    chat.begun_or_done()
    fits(chat)
    if text == HEBREW:
        chat.finish()  # it would go on for long
    chat.done()
    fits(chat)
    for name in ("send", "input"):
        box = chat.part(name).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 375
    chat.shot(f"phone-{'rtl' if text == HEBREW else 'am'}")


def test_side_by_side_on_a_phone(open_chat: OpenChat, ui: ChatProcess) -> None:
    chat = open_chat(ui.url, viewport={"width": 375, "height": 720}, has_touch=True, is_mobile=True)
    chat.switch("compare")
    chat.write(asked("km"))
    expect(chat.part("votes")).to_be_visible()
    fits(chat)
    boxes = [chat.part(side).bounding_box() for side in ("left", "right", "vote-left", "vote-right")]
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 375 for box in boxes)
    chat.shot("phone-side-by-side", whole=True)
    chat.click("menu")
    expect(chat.part("new")).to_be_visible()
    fits(chat)
    chat.shot("phone-menu")
    chat.part("aside").get_by_role("button", name="New conversation").click()
    expect(chat.users).to_have_count(0)
    expect(chat.part("new")).to_be_hidden()


def fits(chat: Chat) -> None:
    """Nothing has to be pushed aside to be read."""
    wide = chat.page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(wide) <= 375


def test_right_to_left(chat: Chat) -> None:
    chat.write(HEBREW)
    chat.begun()
    chat.click("stop")
    chat.done()
    user, answer = chat.users.first, chat.answers.first
    expect(user).to_have_attribute("dir", "rtl")
    expect(answer).to_have_attribute("dir", "ltr")
    assert chat.said(user).evaluate("e => getComputedStyle(e).direction") == "rtl"
    start, end = chat.edges(user, "הכלב"), chat.edges(user, "הבית")
    assert start["right"] > end["right"], "the first word stands right of the last"
    title = chat.listed.first.locator("span")
    expect(title).to_have_attribute("dir", "auto")
    assert title.evaluate("e => getComputedStyle(e).direction") == "rtl"
    chat.shot("rtl")
    chat.ask(asked("ka"))
    expect(chat.users.last).to_have_attribute("dir", "ltr")


def test_the_box_turns_to_what_is_written(chat: Chat) -> None:
    chat.box.fill(HEBREW)
    assert chat.box.evaluate("e => getComputedStyle(e).direction") == "rtl"
    chat.box.fill("Hello")
    assert chat.box.evaluate("e => getComputedStyle(e).direction") == "ltr"


def test_the_keyboard_alone(chat: Chat) -> None:
    keys = chat.page.keyboard
    chat.box.focus()
    keys.insert_text(asked("bo"))
    keys.press("Shift+Enter")
    keys.insert_text("How many?")
    expect(chat.box).to_have_value(f"{asked('bo')}\nHow many?")
    keys.press("Enter")
    expect(chat.users).to_have_count(1)
    chat.done(0)
    expect(chat.box).to_have_value("")
    chat.box.focus()
    keys.insert_text(HEBREW)
    keys.press("Enter")
    chat.begun()
    assert chat.tab_to("#llink-stop")
    keys.press("Enter")
    chat.done()
    assert chat.tab_to("#llink-retry")
    ring = chat.page.evaluate(
        "() => { const s = getComputedStyle(document.activeElement);"
        " return s.outlineStyle !== 'none' || s.boxShadow !== 'none'; }"
    )
    assert ring, "one sees where one is"
