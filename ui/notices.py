"""What a person is told beside the conversation: what went wrong and what to do, and short notes."""

from __future__ import annotations

import re

from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from ui.api import ApiError, Done
from ui.inert import inert

_COMMAND = re.compile(r"python jobs/train\.py --lang=[\w-]+|make (?:serve|chat)\b(?: LANGS=\w+)?")
STOPPED = "You stopped this answer."
_BETTER_LATER = ("down", "busy", "broken")


def error(problem: Exception | str | None) -> str:
    """The box above the writing field; empty where nothing is wrong."""
    if not problem:
        return ""
    return f'<div class="llink-error" role="alert">{_sentence(said(problem))}</div>'


def said(problem: Exception | str) -> str:
    """The sentence, with what to do at its end."""
    text = str(problem).strip()
    if not isinstance(problem, ApiError):
        return _closed(text[:1].upper() + text[1:])
    text = text[:1].upper() + text[1:]
    language = language_of(problem.language)
    if (
        problem.kind == "untaught"
        and language
        and language is not DECODER_LANGUAGE
        and "jobs/train.py" not in text
    ):
        text = f"{_closed(text)} Teach it: python jobs/train.py --lang={language.code}"
    if problem.wait and "second" not in text:
        text = f"{_closed(text)} Try again in {problem.wait:.0f} seconds."
    elif problem.kind in _BETTER_LATER and "retry" not in text.lower():
        text = f"{_closed(text)} Then press Retry."
    return text if _COMMAND.fullmatch(text.rpartition(": ")[2]) else _closed(text)


def hint(text: str) -> str:
    """A short note in the same place."""
    return f'<div class="llink-hint" role="status">{inert(text)}</div>' if text else ""


def crowded(count: int) -> str:
    """Too many answers are being written here at once."""
    answers = "1 answer is" if count == 1 else f"{count} answers are"
    return (
        f"{answers} being written here just now, and no more fit at once: wait a few seconds, "
        "then send it again."
    )


def broken(problem: ApiError | None, stopped: bool, done: Done | None) -> str | None:
    """What stands below an answer that is not whole."""
    if done is not None and done.finish_reason == "length":
        return "The answer reached the most tokens that one may have, and ends there."
    if stopped:
        return STOPPED
    return None if problem is None else f"The answer broke off: {problem}"


def _closed(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _sentence(text: str) -> str:
    """Commands stand in a frame, so that they can be taken as they are."""
    found, end = "", 0
    for command in _COMMAND.finditer(text):
        found += f"{inert(text[end : command.start()])}<code>{inert(command[0])}</code>"
        end = command.end()
    return found + inert(text[end:])
