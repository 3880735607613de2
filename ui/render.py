"""Messages as HTML. Every word of people and models goes through :func:`ui.inert.inert`."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from llink_ray.text.languages import language_of
from ui import examples
from ui.answering import Answering
from ui.conversation import Conversation, Message
from ui.inert import inert
from ui.notices import STOPPED, broken
from ui.panel import panel
from ui.spans import badges, coloured, main_direction

SILENT = "The model ended its answer without a word: ask in other words, or about another text."
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and signs that show nothing
_COPY = '<button type="button" class="llink-copy" aria-label="Copy this message">Copy</button>'
_EDIT = (
    '<button type="button" class="llink-edit" aria-label="Edit this message and go on from it">Edit</button>'
)


def transcript(conversation: Conversation) -> str:
    """All messages of a conversation in order."""
    messages = conversation.messages
    answers = [place for place, message in enumerate(messages) if message.role == "assistant"]
    last = answers[-1] if answers else None
    found = list[str]()
    for place, message in enumerate(messages):
        if message.role == "user":
            told = messages[place + 1] if place + 1 < len(messages) else None
            found.append(user(message, place, chosen_of(told)))
        else:
            asked = next((m.text for m in reversed(messages[:place]) if m.role == "user"), "")
            found.append(answer(message, place, asked, place == last))
    return "".join(found)


def chosen_of(answer: Message | None) -> str:
    """How a message was read, where the menu said so and not the text."""
    model = str((answer.seen or {}).get("model") or "") if answer else ""
    language = language_of(model.partition(":")[2].partition("@")[0])
    return f"read as {language.name}, as chosen" if language else ""


def user(message: Message, place: int, chosen: str = "") -> str:
    """What a person said; ``chosen`` is how it was read against what it looks like."""
    told = f'<span class="llink-chosen">{inert(chosen)}</span>' if chosen else ""
    return _message(
        "user",
        message.text,
        message.spans,
        f"{_EDIT}{_COPY}",
        place,
        f"{badges(message.text, message.spans)}{told}",
    )


def answer(message: Message, place: int, asked: str, last: bool) -> str:
    """What a model said, with what it saw; where it broke off, that it did."""
    text = message.text if _has_words(message.text) else ""
    spans = [{**span, "served": True} for span in message.spans]  # nobody has to teach what it says itself
    below = badges(text, spans)
    if not message.error and not text:
        below += f'<p class="llink-silent">{inert(SILENT)}</p>'
    below += _notices(message.seen)
    if message.error:
        below += _cut(message.error)
    if message.seen:
        below += panel(message.seen, asked, last)
    return _message("answer", text, message.spans if text else (), _COPY if text else "", place, below)


def _has_words(text: str) -> bool:
    """Whether anything of it can be seen."""
    return any(unicodedata.category(one)[0] in "LMNPS" and one not in _BLANK for one in text)


def _notices(seen: Mapping[str, Any] | None) -> str:
    """What the service says that a reader should know before he believes the answer."""
    told = ((seen or {}).get("llink") or {}).get("notices") or ()
    return "".join(
        f'<p class="llink-notice llink-{inert(str(one.get("code") or ""))}" role="note">'
        f"{inert(_sentence(str(one.get('message') or '')))}</p>"
        for one in told
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def coming(text: str, waiting: str = "") -> str:
    """An answer on its way."""
    below = "" if text else f'<p class="llink-waiting" role="status">{inert(waiting or "Reading …")}</p>'
    return _message("answer", text, (), "", None, below, "llink-coming")


def _message(
    kind: str,
    text: str,
    spans: Sequence[Mapping[str, Any]],
    buttons: str,
    place: int | None,
    below: str,
    also: str = "",
) -> str:
    direction = main_direction(text, spans)
    index = "" if place is None else f' data-index="{place}"'
    tools = f'<div class="llink-tools">{buttons}</div>' if buttons else ""
    body = f'<div class="llink-text" dir="{direction}">{coloured(text, spans)}</div>' if text else ""
    return (
        f'<article class="llink-message llink-{kind}{f" {also}" if also else ""}" dir="{direction}"{index}>'
        f'{body}<div class="llink-below" dir="ltr">{below}{tools}</div></article>'
    )


def column(name: str, answer: Answering) -> str:
    """One of two answers side by side, under the name of its model."""
    if answer.done or answer.error or answer.stopped:
        told = broken(answer.error, answer.stopped, answer.done)
        below = _cut(told) if told else ""
        text = answer.text if _has_words(answer.text) else ""
        if not told and not text:
            below = f'<p class="llink-silent">{inert(SILENT)}</p>'
        below += _notices(answer.seen)
        body = _message("answer", text, (), _COPY if text else "", None, below)
    else:
        body = coming(answer.text)
    return f'<p class="llink-model">{inert(name)}</p>{body}'


def _cut(told: str) -> str:
    """Why an answer is not whole."""
    return f'<p class="{"llink-silent" if told == STOPPED else "llink-broken"}">{inert(told)}</p>'


def about(beginners: Sequence[str], served: Sequence[str]) -> str:
    """What stands above everything where bundles know their phrasebook only; empty where none is such."""
    if not beginners:
        return ""
    names = [language.name for code in beginners if (language := language_of(code))]
    whose = "" if set(beginners) >= set(served) else f" for {_listed(names)}"
    questions = examples.html(beginners)
    offered = f"<details><summary>Questions that it can answer</summary>{questions}</details>"
    return (
        f'<div class="llink-about" role="note"><p>A small demonstration{inert(whose)}: it knows the words of '
        "its phrasebook only (people, animals, food, numbers, places, days). About any other text it makes "
        f"an answer up.</p>{offered if questions else ''}</div>"
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def hello(offered: str) -> str:
    """What stands where nothing was said yet; ``offered`` is HTML already."""
    begin = "<p>Begin with one of these, or write something of your own.</p>" if offered else ""
    return (
        '<div class="llink-hello"><h2>What would you like to ask?</h2>'
        "<p>Write in any taught language, with your question in English before it. "
        f"The model answers in English.</p>{begin}{offered}</div>"
    )
