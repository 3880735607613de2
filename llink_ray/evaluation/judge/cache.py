"""Verdicts on disk, so that the same question to the same judge costs nothing the second time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from llink_ray.evaluation.judge.contest import Backend, Case, Ruling
from llink_ray.storage.object_store import ObjectStore


class Cache:
    """One small JSON file for each verdict, under the hash of what was asked of whom.

    Unreadable replies are not kept: a later run asks anew. A file that is no ruling counts as absent.
    """

    def __init__(self, directory: str | Path) -> None:
        """``directory``: a local path or any address that the stores know; made when first written to."""
        self._store = ObjectStore(directory)
        self.name = self._store.name

    @staticmethod
    def key(backend: Backend, case: Case) -> str:
        """SHA-256, in hex, of the judge's identity and the messages it would get."""
        asked = json.dumps([backend.identity, backend.messages(case)], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(asked.encode("utf-8")).hexdigest()

    def get(self, key: str) -> Ruling | None:
        """The ruling of an earlier run."""
        content = self._store.read(f"{key[:2]}/{key}.json")
        if content is None:
            return None
        try:
            ruling = Ruling(**json.loads(content) | {"cached": True})
        except (ValueError, TypeError):
            return None
        return ruling if ruling.verdict in ("1", "2", "tie") else None

    def put(self, key: str, ruling: Ruling) -> None:
        """Keep a ruling, whole or not at all; threads may do so at once."""
        if ruling.verdict != "unreadable":
            content = json.dumps(asdict(ruling), ensure_ascii=True)
            self._store.put(f"{key[:2]}/{key}.json", content.encode())
