"""Progress of long steps: an estimate after some seconds, then a line every few seconds.

A job sets once where the lines go (:func:`progress_output`); whatever takes long counts its work
(:func:`track`). Without an output, as in a notebook, nothing is printed. A terminal and a log file get the
same lines, which a bar that redraws itself would not give.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

PrintLine = Callable[[str], None]
Advance = Callable[[int], None]
"""Called with the number of units that were done since the last call."""

FIRST_LINE_SECONDS = 3.0
"""Shorter steps print nothing."""
LINE_SECONDS = 10.0
"""Between two lines; the variable ``LLINK_PROGRESS_SECONDS`` overrides it."""

_output: PrintLine | None = None


@contextmanager
def progress_output(print_line: PrintLine) -> Iterator[None]:
    """Progress lines of this block, from any thread, go to ``print_line``."""
    global _output
    previous, _output = _output, print_line
    try:
        yield
    finally:
        _output = previous


def ignore_progress(count: int) -> None:
    """An ``Advance`` that does nothing."""


def track(
    what: str, unit: str = "", total: float | None = None, poll: Callable[[], float] | None = None
) -> Progress:
    """Count a step that may take long: ``with track("answers", "questions", 640) as progress: …``.

    Args:
        what: name of the step.
        unit: what is counted; with ``MB``, counts are in bytes.
        total: units in all, where known.
        poll: returns the units done, for a step that does not report them.
    """
    return Progress(what, unit, total, _output, poll)


def directory_bytes(*directories: Path) -> float:
    """Bytes of all files below, to poll a download that does not report them."""
    total = 0.0
    for directory in directories:
        for path in directory.rglob("*"):
            with suppress(OSError):  # deleted meanwhile
                total += 0 if path.is_dir() or path.is_symlink() else path.stat().st_size
    return total


class Progress:
    """Progress of one step. Lines come from a thread, so that a step that hangs is not silent."""

    def __init__(
        self,
        what: str,
        unit: str,
        total: float | None,
        print_line: PrintLine | None,
        poll: Callable[[], float] | None = None,
    ) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._print_line, self._poll = print_line, poll
        self._started = time.monotonic()
        self._done = self._initial = 0.0
        self._work: tuple[float, float] | None = None
        self._first: tuple[float, float, float] | None = None
        """At the first unit: time, units done, work done."""
        self._note = ""
        self._printed = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        if self._print_line is not None:
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(succeeded=kind is None)

    def close(self, succeeded: bool = True) -> None:
        """Stop; prints a last line if the step ``succeeded`` and a line was printed before."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        if self._printed and succeeded:
            count = f"{self._count(self._done)} {self._unit}".strip() + ", " if self._done else ""
            self._print(f"{count}done in {_duration(time.monotonic() - self._started)}{self._note}")

    def advance(self, count: float = 1, *, initial: bool = False) -> None:
        """``count`` more units are done; ``initial`` ones were done before and do not count for the rate."""
        self._done += count
        self._initial += count * initial
        self._mark_first()

    def resume_at(self, done: float) -> None:
        """``done`` units are done in all; those not counted yet were done before."""
        self.advance(max(0.0, done - self._done), initial=True)

    def update(self, done: float, work: tuple[float, float] | None = None, note: str = "") -> None:
        """Set the units done.

        Args:
            done: units done in all.
            work: (done, total) work, where units are not equally long.
            note: figures to print with the count.
        """
        self._done, self._work, self._note = done, work, f", {note}" if note else ""
        self._mark_first()

    def _mark_first(self) -> None:
        """The rate is measured from the first unit: before it, models are loaded and threads started."""
        if self._first is None and self._done > self._initial:
            work_done = self._work[0] if self._work else 0.0
            self._first = time.monotonic(), self._done - self._initial, work_done

    def _run(self) -> None:
        interval = LINE_SECONDS
        with suppress(KeyError, ValueError):
            interval = max(0.1, float(os.environ["LLINK_PROGRESS_SECONDS"]))
        wait = min(FIRST_LINE_SECONDS, interval)
        while not self._closed.wait(wait):
            if self._poll is not None:
                self._done = self._poll()
            self._print(self._status(time.monotonic() - self._started))
            wait = interval

    def _print(self, text: str) -> None:
        self._printed = True
        if self._print_line is not None:
            with suppress(OSError):  # a log file that is gone must not end the work
                self._print_line(f"{self._what}: {text}")

    def _status(self, seconds: float) -> str:
        fresh = self._done - self._initial
        unit = f" {self._unit}" if self._unit else ""
        total = f" of {self._count(self._total)}" if self._total is not None else ""
        if fresh <= 0 or seconds <= 0:
            status = f"{self._count(self._done)}{total}{unit} after" if total else "under way for"
            return f"{status} {_duration(seconds)}"
        rate, seconds_left = self._estimate(fresh)
        left = f", about {_duration(seconds_left)} left" if seconds_left is not None else ""
        return f"{self._count(self._done)}{total}{unit}, {self._rate(rate)}{left}{self._note}"

    def _estimate(self, fresh: float) -> tuple[float, float | None]:
        """Units a second since the first unit, and the seconds left."""
        since, units_before, work_before = self._started, 0.0, 0.0
        if self._first is not None and fresh > self._first[1]:
            since, units_before, work_before = self._first
        seconds = max(time.monotonic() - since, 1e-9)
        rate, left = (fresh - units_before) / seconds, None
        if self._work is not None:
            done, total = self._work
            left = seconds / (done - work_before) * (total - done) if done > work_before else None
        elif self._total is not None:
            left = max(0.0, self._total - self._done) / rate
        return rate, left

    def _count(self, value: float) -> str:
        return f"{value / 1e6:,.1f}" if self._unit == "MB" else f"{value:,.0f}"

    def _rate(self, rate: float) -> str:
        if self._unit == "MB":
            return f"{rate / 1e6:,.1f} MB/s"
        return f"{rate:,.1f}/s" if rate >= 0.1 else f"{_duration(1 / rate)} each"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
