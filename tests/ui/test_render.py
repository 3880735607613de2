"""Messages as HTML: every letter of a person or a model is shown, and none is read as anything."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llink_ray.text.detection import spans
from llink_ray.text.languages import language_of
from ui import examples, notices, render
from ui.api_client import ApiError, Completion
from ui.conversation import Conversation, Message
from ui.details_panel import details_panel
from ui.escape import escape, text_direction
from ui.language_badges import badges_html, coloured_html, language_shares, main_direction
from ui.running_answers import RunningAnswer

BO = "ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།"
AM = "በሱቁ 68 እንቁላል ይገኛል።"
HE = "מי הלך לשוק?"
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://example.org/x.png)",
    "[x](javascript:alert(1))",
    "</div></article><iframe src=//example.org>",
    "\" onmouseover=\"alert(1)' onfocus='alert(1)",
    "${alert(1)} {{constructor.constructor('alert(1)')()}} `${1}`",
    "&lt;b&gt; &#60;script&#62;",
    "\x00\u202e\ud800<svg/onload=alert(1)>",
)
OURS = {
    "article", "div", "bdi", "span", "button", "details", "summary", "table", "thead", "tbody", "tr", "th",
    "td", "dl", "dt", "dd", "p", "code",
}  # fmt: skip
"""Elements that the page itself writes."""


class Read(HTMLParser):
    """What a browser would find: elements, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "an element was closed from within a text"

    def handle_data(self, data: str) -> None:
        self.text += data


def found(text: str) -> tuple[dict[str, Any], ...]:
    """Spans as messages keep them."""
    told = []
    for span in spans(text):
        language = language_of(span.code)
        told.append(
            {
                "start": span.start,
                "end": span.end,
                "language": span.code,
                "name": language.name if language else None,
                "own_name": language.own_name if language else None,
                "confidence": 0.9,
                "served": span.code in ("bo", "am"),
            }
        )
    return tuple(told)


def said(text: str) -> Message:
    return Message("user", text, found(text), None, None, None)


def metadata(
    text: str, sentence: str = "with your text this answer is much likelier than without it"
) -> dict[str, Any]:
    return {
        "llink": {
            "spans": [{**span, "message": 0, "slots": 8, "numerals": [text]} for span in found(text)],
            "sentences": 1,
            "slots": 10,
            "prompt_tokens": 24,
            "prompt_tokens_raw": 111,
            "adapter": "bo",
            "bundles": {"bo": {"version": text, "digest": "0"}},
            "grounding": {"nats": 1.25, "sentence": sentence},
        },
        "usage": {"completion_tokens": 5},
        "first_token": 0.0881,
        "tokens_per_second": 37.2,
        "model": text,
    }


def harmless(html: str) -> Read:
    """The page's own elements alone, without a handler or an address."""
    read = Read(html)
    assert set(read.tags) <= OURS
    assert not read.open
    names = {name for name, _ in read.attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href", "style", "srcdoc"}
    return read


texts = st.one_of(st.text(), st.sampled_from(HOSTILE), st.text(alphabet="<>&\"'/${}`\\!ab ་ऄא\n"))


@given(texts)
def test_a_text_is_shown_letter_by_letter(text: str) -> None:
    html = escape(text)
    assert not set(html) & set("<>\"'`${}\\")
    shown = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text.replace("\r\n", "\n"))
    assert Read(html).text == shown.replace("\r", "\n")


@given(texts, texts)
def test_a_conversation_is_inert(asked: str, answered: str) -> None:
    messages = (
        said(asked),
        Message("assistant", answered, found(answered), metadata(answered, answered), answered, None),
    )
    read = harmless(render.transcript(Conversation("x", answered, messages)))
    assert read.tags.count("article") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_injections_are_shown_and_nothing_else(text: str) -> None:
    answering = RunningAnswer(lambda: None, text=text)  # type: ignore[arg-type,return-value]
    error = ApiError(text, "busy", 3.0)
    for html in (
        render.pending_answer(text),
        render.answer_column(text, answering),
        notices.error_box(text),
        notices.error_box(error),
        notices.hint(text),
        details_panel(metadata(text), text, True),
        badges_html(text, found(text)),
    ):
        harmless(html)


def test_a_message_says_its_language_in_both_names_and_how_sure_that_is() -> None:
    html = render.user_message(said(BO), 0)
    assert 'class="llink-badge' in html and "བོད་སྐད་" in html and "Tibetan" in html and "90%" in html
    assert 'data-index="0"' in html and "llink-edit" in html and "llink-copy" in html
    assert "llink-legend" not in html


def test_a_mixed_message_has_colours_and_their_legend() -> None:
    text = f"Translate this into English. {BO} {AM}"
    html = render.user_message(said(text), 0)
    assert html.count('class="llink-span') == 3
    assert "llink-legend" in html and html.count("llink-badge") == 3
    colours = [share.colour for share in language_shares(text, found(text))]
    assert colours == [None, 0, 1]
    for code, colour in (("bo", 0), ("am", 1)):
        assert re.search(rf'llink-span llink-c{colour}" lang="{code}"', html)
        assert re.search(rf'llink-badge llink-c{colour}" data-language="{code}"', html)
    assert Read(coloured_html(text, found(text))).text == text


def test_a_language_nobody_taught_says_so_on_its_badge() -> None:
    text = "မြန်မာ စကား ပြောတတ်လား။"
    assert "not taught" in badges_html(text, found(text))
    assert "not taught" not in badges_html(BO, found(BO))


def test_numbers_alone_have_no_language() -> None:
    assert badges_html("560", found("560")) == ""


def test_direction_is_that_of_the_language_most_is_in() -> None:
    assert main_direction(HE, found(HE)) == "rtl"
    assert main_direction(f"Who? {HE * 3}", found(f"Who? {HE * 3}")) == "rtl"
    assert main_direction(BO, found(BO)) == "ltr"
    assert text_direction("123 שלום") == "rtl"
    assert '<article class="llink-message llink-user" dir="rtl"' in render.user_message(said(HE), 0)


@given(
    texts,
    st.lists(st.fixed_dictionaries({"start": st.integers(), "end": st.integers(), "language": st.text()})),
)
def test_spans_that_make_no_sense_lose_no_letter(text: str, wild: list[dict[str, Any]]) -> None:
    assert Read(coloured_html(text, wild)).text == Read(escape(text)).text


def test_the_panel_says_what_the_model_saw() -> None:
    text = Read(details_panel(metadata(BO), BO, True)).text
    for part in (
        "10, marks included, for 1 foreign sentence",
        "24 fed, 111 as plain text: 78% fewer",
        "88 ms",
        "37",
        "8 slots",
    ):
        assert part in text
    assert "With your text this answer is much likelier than without it." in text and "+1.25 nats" in text
    assert 'id="llink-panel"' in details_panel(
        metadata(BO), BO, True
    ) and 'id="llink-panel"' not in details_panel(metadata(BO), BO, False)
    assert details_panel({}, BO, True) == ""


def test_an_answer_that_broke_off_keeps_what_arrived() -> None:
    html = render.assistant_message(
        Message("assistant", "There are", (), None, "The answer broke off: gone", None), 1, BO, True
    )
    assert "There are" in html and "broke off" in html


@pytest.mark.parametrize("text", ["", " \n", "\u200b\u2060", "\u3164", "\u2800 "])
def test_an_answer_in_which_nothing_can_be_seen_says_so(text: str) -> None:
    silent = render.assistant_message(Message("assistant", text, (), None, None, None), 1, BO, True)
    assert render.EMPTY_ANSWER in silent and "llink-text" not in silent and "Copy" not in silent
    live = RunningAnswer(lambda: iter(()), text, Completion(text, "stop", {}, {}, 0.1, 0.0))  # type: ignore[arg-type, return-value]
    beside = render.answer_column("a model", live)
    assert render.EMPTY_ANSWER in beside and "llink-text" not in beside


@given(texts)
def test_what_a_reader_should_know_stands_below_the_answer(message: str) -> None:
    told = {"llink": {"notices": [{"code": "outside_training", "message": message}]}}
    shown = harmless(render.assistant_message(Message("assistant", "yes", (), told, None, None), 1, BO, True))
    assert Read(escape(message[1:])).text in shown.text


def test_models_of_a_phrasebook_say_so_and_offer_what_they_can_answer() -> None:
    assert render.phrasebook_banner([], ["bo", "km"]) == ""
    all_of_them, one = (Read(render.phrasebook_banner(["bo"], served)) for served in (["bo"], ["bo", "ne"]))
    assert (
        "knows the words of its phrasebook only" in all_of_them.text and "for Tibetan" not in all_of_them.text
    )
    assert "demonstration for Tibetan:" in one.text
    for example in examples.examples("bo"):
        assert example.foreign in one.text and example.english in one.text


def test_errors_say_what_to_do() -> None:
    assert notices.error_box(None) == notices.error_box("") == ""
    command = notices.error_box("it is not taught. Teach it: python jobs/train.py --lang=my")
    assert "<code>python jobs/train.py --lang=my</code>" in command and command.startswith(
        '<div class="llink-error"'
    )
    amid = notices.error_box(ApiError("gone: start it (make serve), or <b>name</b> another", "refused"))
    assert "(<code>make serve</code>), or &lt;b&gt;name&lt;/b&gt; another.</div>" in amid
