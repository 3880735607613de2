"""Every judgement as it was made, a line each."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.contest import Contest, Order, Ruling

NAME = "judgements.jsonl"


class Transcript:
    """``judgements.jsonl`` in a folder, added to by each run; a kill loses no line that was written.

    Each line: ``contest`` (place), ``order``, ``first`` and ``second`` (whose answers they were, for the
    reader: the judge was not told), then the ruling: ``verdict``, ``messages``, ``replies``, ``requests``,
    ``tokens_in``, ``tokens_out``, ``cached``.
    """

    def __init__(self, directory: Path) -> None:
        """Opens the file, and makes the folder where there is none."""
        self.path = directory / NAME
        self._lock = threading.Lock()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            # A line that a kill cut short must not swallow the next one.
            if self._file.tell():
                self._file.seek(-1, 2)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        except OSError as error:
            raise LlinkError(
                f"{self.path} cannot be written ({error.strerror}): the judge keeps its transcript there"
            ) from error

    def write(self, place: int, order: Order, contest: Contest, ruling: Ruling) -> None:
        """Add a line; threads may do so at once."""
        sides = (contest.side_a, contest.side_b)
        first, second = sides if order == "ab" else sides[::-1]
        head: dict[str, Any] = {"contest": place, "order": order, "first": first, "second": second}
        line = json.dumps(head | asdict(ruling), ensure_ascii=False) + "\n"
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
        with suppress(OSError):  # told of when it was written
            self._file.close()
