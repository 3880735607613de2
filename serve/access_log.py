"""One JSON line for each request on the logger ``llink_ray.serve.access``, and the request's id."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

logger = logging.getLogger("llink_ray.serve.access")
FIELDS_KEY = "llink_ray.log_fields"
"""Scope key of the fields that endpoints add to the request's line."""
START_KEY = "llink_ray.start"
"""Scope key of the ``time.monotonic()`` at which the request came in."""
PRIVATE = frozenset({"prompt"})
"""Fields that are logged only with ``log_prompts``."""
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="-")


def request_id() -> str:
    """Id of the current request; ``-`` outside of one."""
    return _current.get()


def valid_or_new_id(header: str | None) -> str:
    """The client's ``x-request-id`` where it is safe to log, else a new id."""
    return header if header is not None and _VALID_ID.fullmatch(header) else uuid.uuid4().hex


def set_request_id(header: str | None) -> str:
    """Make ``valid_or_new_id`` the current id and return it."""
    value = valid_or_new_id(header)
    _current.set(value)
    return value


def add_fields(scope: Mapping[str, Any], **fields: Any) -> None:
    """Add fields to the request's line: ``add_fields(request.scope, caller="ada", model="llink")``."""
    if FIELDS_KEY in scope:
        scope[FIELDS_KEY].update(fields)


def write(fields: Mapping[str, Any], log_prompts: bool) -> None:
    """Write the line."""
    public = {key: value for key, value in fields.items() if log_prompts or key not in PRIVATE}
    logger.info(json.dumps(public, default=str))


def log_to_stderr() -> None:
    """Send the lines to stderr, unless a handler was configured."""
    if not logger.handlers:
        # Ray Serve replaces sys.stderr by a stream that inspects its caller at every line.
        handler = logging.StreamHandler(sys.__stderr__ or sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.INFO)
