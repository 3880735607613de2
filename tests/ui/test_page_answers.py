"""The first answer in each language, what a message was taken for, and languages that nobody taught."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.sync_api import expect
from ui_chat import Chat, OpenChat
from ui_process import KEY, ApiProcess, ChatProcess
from ui_texts import EMBEDDED, MIXED, OWN, RUSSIAN, SENTENCES, asked

from llink_ray.text.languages import find

pytestmark = pytest.mark.ui


def told(api: ApiProcess, content: str, model: str = "llink") -> str:
    """What the API itself answers; it takes the likeliest token, so it says the same again."""
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx2.post(f"{api.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"]).strip()


@pytest.mark.parametrize("code", EMBEDDED)
def test_the_first_answer(chat: Chat, api: ApiProcess, code: str) -> None:
    assert chat.ask(asked(code)) == told(api, asked(code))
    badge = chat.badge(code)
    expect(badge).to_contain_text(OWN[code].strip("་"))
    expect(badge).to_contain_text(find(code).name)
    expect(badge).to_contain_text(re.compile(r"\d+\s*%"))
    expect(chat.said(chat.users.first)).to_contain_text(SENTENCES[code])
    chat.shot(f"first-answer-{code}")


def test_the_menu_reads_another_language_into_it(chat: Chat, api: ApiProcess) -> None:
    chat.choose("language", "Khmer")
    answer = chat.ask(asked("bo"))
    assert answer == told(api, asked("bo"), "llink:km")
    expect(chat.part("panel")).to_contain_text("Khmer")
    chat.shot("override")


def test_the_menu_holds_what_the_api_serves(chat: Chat, api: ApiProcess) -> None:
    models = httpx2.get(f"{api.url}/v1/models", headers={"authorization": f"Bearer {KEY}"}).json()["data"]
    names = [find(m["llink"]["language"]).name for m in models if m["id"].startswith("llink:")]
    assert len(names) == 5
    offered = "\n".join(chat.choices("language"))
    assert all(name in offered for name in names)


def test_a_mixed_message_shows_its_stretches(chat: Chat) -> None:
    chat.ask(MIXED)
    message = chat.users.first
    spans = message.locator(".llink-span")
    expect(spans).to_have_count(3)
    assert [text.strip() for text in spans.all_inner_texts()][1:] == [SENTENCES["bo"], SENTENCES["ka"]]
    colours = spans.evaluate_all("all => all.map(e => getComputedStyle(e).backgroundImage)")
    assert colours[1] != colours[2]
    legend = message.locator(".llink-legend")
    expect(legend).to_contain_text("Tibetan")
    expect(legend).to_contain_text("Georgian")
    chat.shot("mixed")


def test_what_the_model_saw(open_chat: OpenChat, ui: ChatProcess) -> None:
    chat = open_chat(ui.url, color_scheme="dark")
    chat.ask(f"How many? {SENTENCES['bo']}")
    panel = chat.part("panel")
    panel.locator("summary").click()
    for words in ("slots", "tokens", "first token", "tokens per second", "your text"):
        expect(panel).to_contain_text(re.compile(words, re.IGNORECASE))
    expect(panel).to_contain_text("Tibetan")
    chat.shot("panel", whole=True)


def test_a_language_that_nobody_taught_names_the_command(chat: Chat) -> None:
    chat.write(RUSSIAN)
    expect(chat.part("error")).to_contain_text("Russian")
    expect(chat.part("error")).to_contain_text("--lang=")
    expect(chat.box).to_be_editable()
    chat.shot("untaught")


def test_what_the_models_know_stands_at_the_top_with_questions_for_them(chat: Chat) -> None:
    about = chat.part("about")
    expect(about).to_contain_text("knows the words of its phrasebook only")
    about.locator("summary").click()
    chat.shot("about")
    about.locator(".llink-example").last.click()
    expect(chat.box).to_have_value(re.compile(r"[^\x00-\x7f]"))
    chat.box.press("Enter")
    chat.done(0)
    expect(about).to_contain_text("knows the words of its phrasebook only")


def test_an_example_can_be_asked(chat: Chat) -> None:
    examples = chat.part("examples")
    for code in EMBEDDED:
        expect(examples).to_contain_text(find(code).name)
    examples.locator(".llink-example").first.click()
    expect(chat.box).to_have_value(re.compile(r"[^\x00-\x7f]"))
    chat.box.press("Enter")
    chat.done(0)


def test_a_text_file_is_read(chat: Chat) -> None:
    chat.upload("text.txt", SENTENCES["am"])
    expect(chat.part("passage").locator("textarea")).to_have_value(SENTENCES["am"])
    chat.ask("Who?")
    expect(chat.users.first).to_contain_text(SENTENCES["am"])
    expect(chat.users.first).to_contain_text("Who?")
    chat.shot("file")


def test_a_file_that_is_no_text_is_refused(chat: Chat) -> None:
    with chat.page.expect_file_chooser() as chooser:
        chat.click("file")
    chooser.value.set_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"\xff\xfe\x00\x01"})
    expect(chat.part("error")).to_contain_text("UTF-8")
