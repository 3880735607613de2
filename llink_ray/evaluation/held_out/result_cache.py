"""Finished parts of a measurement on disk, so that the same command goes on after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llink_ray.storage.atomic import disk_refused, write_atomic

VERSION = 2
"""Counts up when a part is computed or stored in another way: older parts are then computed again."""
_ELSEWHERE = "name another place with --output"


class ResultCache:
    """One JSON file for each part, under the hash of all that its content depends on."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is made where it is not there.

        Raises:
            JobFailed: the disk refused; found out before the first part is computed.
        """
        self.folder = folder
        self.computed = 0
        """Parts that had to be computed so far."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_refused("the folder", folder, error, _ELSEWHERE) from error

    def path(self, key: Any) -> Path:
        """File of the part of ``key``, which JSON can hold."""
        text = json.dumps([VERSION, key], ensure_ascii=False, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def get(self, key: Any, compute: Callable[[], Any]) -> Any:
        """The part, computed where there is none yet; a file that cannot be read counts as none.

        Raises:
            JobFailed: the disk refused it.
        """
        path = self.path(key)
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            pass
        content = compute()
        self.computed += 1
        write_json(path, content)
        return content


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Whole or not at all.

    Raises:
        JobFailed: the disk refused.
    """
    write_text(path, json.dumps(content, ensure_ascii=False, indent=indent))


def write_text(path: Path, text: str) -> None:
    """Whole or not at all.

    Raises:
        JobFailed: the disk refused.
    """
    try:
        write_atomic(path, text)
    except OSError as error:
        raise disk_refused("the file", path, error, _ELSEWHERE) from error
