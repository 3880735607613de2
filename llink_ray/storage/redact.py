"""Names that may leave the machine: no path of the trainer's disk, no key inside an address."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

EMBEDDED = "embedded"
"""Id of the tiny models in this package, whatever folder of that name there is."""

_MODEL_KEYS = frozenset({"model", "base_model_name_or_path"})
_PATH_KEYS = frozenset({"path", "directory"})
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")
_WRITTEN = re.compile(
    r"(?<![\w./\\-])(?!//)(?:file:/{0,2}|~|[A-Za-z]:)?[/\\][^\s'\"`,;()]*[/\\]([^\s'\"`,;()/\\]+)"
)
"""A path of two parts or more within a sentence; a blank ends it."""
_ABSOLUTE = re.compile(r"(?:/|~[^/\\]*[/\\]|\\\\|[A-Za-z]:[/\\])")


def redact(text: str) -> str:
    """``text`` as it may be shown elsewhere: an absolute path becomes its last part, an address loses
    its user, password and query (``s3://key:secret@bucket/x?token=…`` becomes ``s3://bucket/x``)."""
    if _ADDRESS.match(text):
        scheme, _, rest = text.partition("://")
        if scheme.lower() == "file":
            return _last_part(unquote(rest))
        try:
            parts = urlsplit(text)
        except ValueError:  # nothing can be told apart in it, so nothing of it is shown
            return f"{scheme}://"
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return _last_part(text) if _ABSOLUTE.match(text) else text


def without_paths(sentence: str) -> str:
    """``sentence`` with each absolute path in it cut to its last part."""
    return _WRITTEN.sub(r"\1", sentence)


def model_name(model: str) -> str:
    """A model's id for the record: a local directory by its final folder name, a hub id as it is."""
    if model == EMBEDDED or not model:
        return model
    directory = Path(model).expanduser()
    if directory.is_dir():
        return Path(os.path.abspath(directory)).name  # noqa: PTH100 - resolve() would follow symlinks
    return redact(model)


def redact_tree(value: Any, key: str = "") -> Any:
    """JSON-like ``value`` with every string made portable; model ids and paths are known by their key."""
    if isinstance(value, dict):
        return {name: redact_tree(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item, key) for item in value]
    if isinstance(value, str):
        if key in _MODEL_KEYS:
            return model_name(value)
        if key in _PATH_KEYS and not _ADDRESS.match(value):
            return _last_part(value)
        return redact(value)
    return value


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
