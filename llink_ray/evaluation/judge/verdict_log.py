"""Verdicts on disk: a cache, so that the same question costs nothing twice, and a transcript to read."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.records import AnswerPair, Backend, Case, JudgeResponse, Order
from llink_ray.storage.object_store import ObjectStore

NAME = "judgements.jsonl"


class Cache:
    """One small JSON file a verdict, under the hash of judge and messages; safe for threads.

    Unreadable replies are not cached: a later run asks again. A file that is no verdict counts as absent.
    """

    def __init__(self, directory: str | Path) -> None:
        """``directory``: a local path or any address that the stores know; made when first written to."""
        self._store = ObjectStore(directory)
        self.name = self._store.name

    @staticmethod
    def key(backend: Backend, case: Case) -> str:
        """Name of the verdict's file."""
        question = json.dumps([backend.identity, backend.messages(case)], ensure_ascii=False, sort_keys=True)
        digest = hashlib.sha256(question.encode("utf-8")).hexdigest()
        return f"{digest[:2]}/{digest}.json"

    def get(self, key: str) -> JudgeResponse | None:
        """The response of an earlier run."""
        content = self._store.read(key)
        if content is None:
            return None
        try:
            response = JudgeResponse(**json.loads(content) | {"cached": True})
        except (ValueError, TypeError):
            return None
        return response if response.verdict in ("1", "2", "tie") else None

    def put(self, key: str, response: JudgeResponse) -> None:
        """Store a response, whole or not at all."""
        if response.verdict != "unreadable":
            self._store.put(key, json.dumps(asdict(response)).encode())


class Transcript:
    """``judgements.jsonl`` in a folder, added to by each run; a kill loses no line that was written.

    Each line: ``contest`` (index of the pair), ``order``, ``first`` and ``second`` (whose answers they were:
    the judge was not told), then the fields of :class:`JudgeResponse`.
    """

    def __init__(self, directory: Path) -> None:
        """Opens the file, and makes the folder where there is none."""
        self.path = directory / NAME
        self._lock = threading.Lock()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            if self._file.tell():  # a line that a kill cut short must not swallow the next one
                self._file.seek(-1, 2)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        except OSError as error:
            raise LlinkError(
                f"{self.path} cannot be written ({error.strerror}): the judge keeps its transcript there"
            ) from error

    def write(self, index: int, order: Order, pair: AnswerPair, response: JudgeResponse) -> None:
        """Add a line; threads may do so at once."""
        sides = (pair.side_a, pair.side_b)
        first, second = sides if order == "ab" else sides[::-1]
        head: dict[str, Any] = {"contest": index, "order": order, "first": first, "second": second}
        line = json.dumps(head | asdict(response), ensure_ascii=False) + "\n"
        with self._lock:
            try:
                self._file.write(line.encode("utf-8", "backslashreplace"))
                self._file.flush()
            except OSError as error:
                raise JobFailed(f"{self.path} cannot be written any more ({error.strerror})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # reported when it was written
            self._file.close()
