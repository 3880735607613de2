"""Errors and short notes below the conversation."""

from __future__ import annotations

import re

from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from ui.api_client import ApiError, Completion
from ui.escape import escape

_COMMAND = re.compile(r"python jobs/train\.py --lang=[\w-]+|make (?:serve|chat)\b(?: LANGS=\w+)?")
STOPPED = "You stopped this answer."


def error_box(error: Exception | str | None) -> str:
    """The box above the input; empty without an error. Commands are marked as code."""
    if not error:
        return ""
    text = error_text(error)
    html, end = "", 0
    for command in _COMMAND.finditer(text):
        html += f"{escape(text[end : command.start()])}<code>{escape(command[0])}</code>"
        end = command.end()
    return f'<div class="llink-error" role="alert">{html}{escape(text[end:])}</div>'


def error_text(error: Exception | str) -> str:
    """The message as a sentence, with what to do at its end."""
    text = str(error).strip()
    text = text[:1].upper() + text[1:]
    if isinstance(error, ApiError):
        language = language_of(error.language)
        untrained = error.kind == "untrained_language" and language not in (None, DECODER_LANGUAGE)
        if untrained and language and "jobs/train.py" not in text:
            text = f"{_closed(text)} Teach it: python jobs/train.py --lang={language.code}"
        if error.retry_after and "second" not in text:
            text = f"{_closed(text)} Try again in {error.retry_after:.0f} seconds."
        elif error.kind in ("unreachable", "busy", "interrupted") and "retry" not in text.lower():
            text = f"{_closed(text)} Then press Retry."
        if _COMMAND.fullmatch(text.rpartition(": ")[2]):
            return text
    return _closed(text)


def hint(text: str) -> str:
    """A short note in the place of the error box."""
    return f'<div class="llink-hint" role="status">{escape(text)}</div>' if text else ""


def too_many_answers(count: int) -> str:
    """The chat is at its limit of concurrent answers."""
    answers = "1 answer is" if count == 1 else f"{count} answers are"
    return (
        f"{answers} being written here just now, and no more fit at once: wait a few seconds, "
        "then send it again."
    )


def why_incomplete(error: ApiError | None, stopped: bool, completion: Completion | None) -> str | None:
    """The line below an answer that is incomplete; None where it is complete."""
    if completion is not None and completion.finish_reason == "length":
        return "The answer reached the most tokens that one may have, and ends there."
    if stopped:
        return STOPPED
    return None if error is None else f"The answer broke off: {error}"


def _closed(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
