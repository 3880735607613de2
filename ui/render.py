"""Messages as HTML. User and model text always passes through :func:`ui.escape.escape`."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from llink_ray.text.languages import language_of
from ui.conversation import Conversation, Message
from ui.details_panel import details_panel
from ui.escape import escape
from ui.examples import examples_html
from ui.language_badges import badges_html, coloured_html, main_direction
from ui.notices import STOPPED, why_incomplete
from ui.running_answers import RunningAnswer

EMPTY_ANSWER = "The model ended its answer without a word: ask in other words, or about another text."
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that display nothing."""
_COPY = '<button type="button" class="llink-copy" aria-label="Copy this message">Copy</button>'
_EDIT = (
    '<button type="button" class="llink-edit" aria-label="Edit this message and go on from it">Edit</button>'
)


def transcript(conversation: Conversation) -> str:
    """All messages of a conversation."""
    messages = conversation.messages
    last_answer = max((i for i, m in enumerate(messages) if m.role == "assistant"), default=None)
    html, question = "", ""
    for index, message in enumerate(messages):
        if message.role == "user":
            question = message.text
            reply = messages[index + 1] if index + 1 < len(messages) else None
            html += user_message(message, index, _chosen_language(reply))
        else:
            html += assistant_message(message, index, question, index == last_answer)
    return html


def _chosen_language(answer: Message | None) -> str:
    """The language that the menu chose for a message, instead of detection."""
    model = str((answer.metadata or {}).get("model") or "") if answer else ""
    language = language_of(model.partition(":")[2].partition("@")[0])
    return f"read as {language.name}, as chosen" if language else ""


def user_message(message: Message, index: int, chosen: str = "") -> str:
    """A message of the user; ``chosen`` says which language the menu chose for it."""
    note = f'<span class="llink-chosen">{escape(chosen)}</span>' if chosen else ""
    below = badges_html(message.text, message.spans) + note
    return _article("user", message.text, message.spans, _EDIT + _COPY, index, below)


def assistant_message(message: Message, index: int, question: str, last: bool) -> str:
    """An answer with its notices and its details; with the reason where it is incomplete."""
    text = message.text if _is_visible(message.text) else ""
    # An answer needs no trained bundle for the languages that it contains.
    below = badges_html(text, [{**span, "served": True} for span in message.spans])
    below += _below_answer(text, message.error, message.metadata)
    if message.metadata:
        below += details_panel(message.metadata, question, last)
    return _article("answer", text, message.spans if text else (), _COPY if text else "", index, below)


def _below_answer(text: str, error: str | None, metadata: Mapping[str, Any] | None) -> str:
    html = "" if error or text else f'<p class="llink-silent">{escape(EMPTY_ANSWER)}</p>'
    for notice in ((metadata or {}).get("llink") or {}).get("notices") or ():
        message = str(notice.get("message") or "")
        code = escape(str(notice.get("code") or ""))
        html += (
            f'<p class="llink-notice llink-{code}" role="note">'
            f"{escape(f'{message[:1].upper()}{message[1:]}.')}</p>"
        )
    if error:
        html += f'<p class="{"llink-silent" if error == STOPPED else "llink-broken"}">{escape(error)}</p>'
    return html


def _is_visible(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "LMNPS" and char not in _INVISIBLE for char in text)


def pending_answer(text: str) -> str:
    """An answer that is still arriving."""
    below = "" if text else '<p class="llink-waiting" role="status">Reading …</p>'
    return _article("answer llink-coming", text, (), "", None, below)


def _article(
    classes: str,
    text: str,
    spans: Sequence[Mapping[str, Any]],
    buttons: str,
    index: int | None,
    below: str,
) -> str:
    direction = main_direction(text, spans)
    data_index = "" if index is None else f' data-index="{index}"'
    tools = f'<div class="llink-tools">{buttons}</div>' if buttons else ""
    body = f'<div class="llink-text" dir="{direction}">{coloured_html(text, spans)}</div>' if text else ""
    return (
        f'<article class="llink-message llink-{classes}" dir="{direction}"{data_index}>'
        f'{body}<div class="llink-below" dir="ltr">{below}{tools}</div></article>'
    )


def answer_column(model: str, answer: RunningAnswer) -> str:
    """One of two answers side by side, below the name of its model."""
    if answer.completion or answer.error or answer.stopped:
        text = answer.text if _is_visible(answer.text) else ""
        error = why_incomplete(answer.error, answer.stopped, answer.completion)
        below = _below_answer(text, error, answer.metadata)
        body = _article("answer", text, (), _COPY if text else "", None, below)
    else:
        body = pending_answer(answer.text)
    return f'<p class="llink-model">{escape(model)}</p>{body}'


def phrasebook_banner(phrasebook_codes: Sequence[str], served_codes: Sequence[str]) -> str:
    """The note above the conversation where models know only their phrasebook; else empty."""
    if not phrasebook_codes:
        return ""
    names = [language.name for code in phrasebook_codes if (language := language_of(code))]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
    which = "" if set(phrasebook_codes) >= set(served_codes) else f" for {listed}"
    questions = examples_html(phrasebook_codes)
    details = f"<details><summary>Questions that it can answer</summary>{questions}</details>"
    return (
        f'<div class="llink-about" role="note"><p>A small demonstration{escape(which)}: it knows the words '
        "of its phrasebook only (people, animals, food, numbers, places, days). About any other text it "
        f"makes an answer up.</p>{details if questions else ''}</div>"
    )


def welcome(served_codes: Sequence[str]) -> str:
    """The empty conversation, with examples of the served languages."""
    buttons = examples_html(served_codes)
    intro = "<p>Begin with one of these, or write something of your own.</p>" if buttons else ""
    return (
        '<div class="llink-hello"><h2>What would you like to ask?</h2>'
        "<p>Write in any taught language, with your question in English before it. "
        f"The model answers in English.</p>{intro}{buttons}</div>"
    )
