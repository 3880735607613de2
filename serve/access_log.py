"""A line of JSON for each request, and the id under which it is found."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

access = logging.getLogger("llink_ray.serve.access")
NOTES = "llink_ray.notes"
"""Key of a request's scope under which what the log should say of it is gathered."""
BEGAN = "llink_ray.began"
"""Key of a request's scope under which the moment stands at which it came in."""
PRIVATE = frozenset({"prompt", "answer"})
"""What is not logged unless ``log_prompts`` says so."""
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="-")


def request_id() -> str:
    """Id of the request that is being answered; ``-`` outside of one."""
    return _current.get()


def chosen(given: str | None) -> str:
    """The caller's id if it is one to be trusted in a log, else a new one."""
    return given if given is not None and _SANE.fullmatch(given) else uuid.uuid4().hex


def begin(given: str | None) -> str:
    """``chosen``, and from here on the current one."""
    found = chosen(given)
    _current.set(found)
    return found


def note(scope: Mapping[str, Any], **fields: Any) -> None:
    """Have the request's line say more: ``note(request.scope, caller="ada", model="llink")``."""
    notes = scope.get(NOTES)
    if notes is not None:
        notes.update(fields)


def write(fields: Mapping[str, Any], notes: Mapping[str, Any], log_prompts: bool) -> None:
    """The line; what was asked and answered only where it is wanted."""
    shown = {key: value for key, value in notes.items() if log_prompts or key not in PRIVATE}
    access.info(json.dumps({**fields, **shown}, default=str))


def to_stderr() -> None:
    """Lines go to stderr as they are, unless somebody has said already where they go."""
    if not access.handlers:
        # Ray Serve puts something in the place of stderr that looks for its caller at every line.
        handler = logging.StreamHandler(sys.__stderr__ or sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        access.addHandler(handler)
        access.propagate = False
    access.setLevel(logging.INFO)
