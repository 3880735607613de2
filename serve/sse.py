"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from serve.errors import ApiError

MEDIA_TYPE = "text/event-stream"
HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
"""So that no proxy keeps events back or changes them."""
DONE = b"data: [DONE]\n\n"
"""The stream's end."""
PING = b": \n\n"
"""A comment: clients pass over it, and a connection that is gone is noticed."""


def event(data: Mapping[str, Any] | BaseModel | str) -> bytes:
    """One event, of whole letters. JSON has no line breaks; other text is written a field a line.

    Raises:
        ValueError: infinity or not-a-number, which JSON lacks.
    """
    if isinstance(data, BaseModel):
        data = data.model_dump()
    if not isinstance(data, str):
        data = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in [*lines[:-1], f"{lines[-1]}\n"]).encode("utf-8", "replace")


def failure(error: ApiError) -> bytes:
    """The event that tells, in mid-stream, that nothing more will come."""
    return event(error.body)
