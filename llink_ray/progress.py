"""Progress of long steps for a person: what is estimated, then a line every few seconds.

A job says once who is told (:func:`telling`); whatever takes long counts what it does (:func:`track`). Where
nobody is told, as in a notebook, nothing is printed. A terminal and a log file get the same lines.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

Say = Callable[[str], None]
Advance = Callable[[int], None]
"""Told how many more are done."""

FIRST = 3.0
"""Seconds until the first line, which has the estimate; shorter steps are not spoken of."""
EVERY = 10.0
"""Seconds between two lines, unless ``LLINK_PROGRESS_SECONDS`` says otherwise."""

_told: Say | None = None


@contextmanager
def telling(say: Say) -> Iterator[None]:
    """Long steps in this block, in whatever thread, are told to ``say``."""
    global _told
    before, _told = _told, say
    try:
        yield
    finally:
        _told = before


def unheard(count: int) -> None:
    """Whoever counts where nobody wants to know."""


def track(
    what: str, unit: str = "", total: float | None = None, look: Callable[[], float] | None = None
) -> Progress:
    """Count a step that may take long: ``with track("answers", "questions", 640) as progress: …``.

    Args:
        what: is done.
        unit: is counted; ``MB`` are counted in bytes.
        total: how many there are, where that is known.
        look: finds out how many are done, where whoever does it does not tell.
    """
    return Progress(what, unit, total, _told, look)


def bytes_in(*folders: Path) -> float:
    """Bytes of all files below, for a download that does not tell how far it is."""
    total = 0.0
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(OSError):  # gone meanwhile
                total += 0 if path.is_dir() or path.is_symlink() else path.stat().st_size
    return total


class Progress:
    """How far one step is. A thread of its own tells, so that also a step that hangs is not silent."""

    def __init__(
        self,
        what: str,
        unit: str,
        total: float | None,
        say: Say | None,
        look: Callable[[], float] | None = None,
    ) -> None:
        self._what, self._unit, self._total, self._say, self._look = what, unit, total, say, look
        self._began = time.monotonic()
        self._done = self._had = 0.0
        self._work: tuple[float, float] | None = None
        self._first: tuple[float, float, float] | None = None
        """When the first was done, how many were done then, and how much of the work."""
        self._note = ""
        self._spoke = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if self._say is not None:
            self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(told=kind is None)

    def close(self, told: bool = True) -> None:
        """It is over; where it was spoken of, and ended well, this is, too."""
        if self._over.is_set():
            return
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._spoke and told:
            count = f"{self._count(self._done)} {self._unit}".strip() + ", " if self._done else ""
            self._line(f"{count}done in {spoken(time.monotonic() - self._began)}{self._note}")

    def advance(self, count: float = 1, *, kept: bool = False) -> None:
        """``count`` more are done; ``kept`` ones were there before and say nothing about the rate."""
        self._done += count
        self._had += count * kept
        self._note_first()

    def reach(self, done: float) -> None:
        """``done`` are done in all; those that nobody has counted yet were there before."""
        self.advance(max(0.0, done - self._done), kept=True)

    def at(self, done: float, work: tuple[float, float] | None = None, note: str = "") -> None:
        """``done`` are done in all.

        Args:
            done: units.
            work: share of the work that this is, as (done, of), where units are not equally long.
            note: figures to be told with it.
        """
        self._done, self._work, self._note = done, work, f", {note}" if note else ""
        self._note_first()

    def _note_first(self) -> None:
        """From here on the rate is measured: before it, models were loaded and threads started."""
        if self._first is None and self._done > self._had:
            self._first = time.monotonic(), self._done - self._had, self._work[0] if self._work else 0.0

    # Lines ---------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        every = _every()
        wait = min(FIRST, every)
        while not self._over.wait(wait):
            if self._look is not None:
                self._done = self._look()
            self._line(self._so_far(time.monotonic() - self._began))
            wait = every

    def _line(self, text: str) -> None:
        self._spoke = True
        if self._say is not None:
            with suppress(OSError):  # a log that is gone must not end the work
                self._say(f"{self._what}: {text}")

    def _so_far(self, seconds: float) -> str:
        fresh = self._done - self._had
        unit = f" {self._unit}" if self._unit else ""
        of = f" of {self._count(self._total)}" if self._total is not None else ""
        if fresh <= 0 or seconds <= 0:
            begun = f"{self._count(self._done)}{of}{unit} after" if of else "under way for"
            return f"{begun} {spoken(seconds)}"
        rate, left = self._estimate(fresh)
        told = f"{self._count(self._done)}{of}{unit}, {self._rate(rate)}"
        return f"{told}{f', about {spoken(left)} left' if left is not None else ''}{self._note}"

    def _estimate(self, fresh: float) -> tuple[float, float | None]:
        """Units a second, and seconds that are left, since the first unit where there are more."""
        since, before, work_before = self._began, 0.0, 0.0
        if self._first is not None and fresh > self._first[1]:
            since, before, work_before = self._first
        seconds = max(time.monotonic() - since, 1e-9)
        rate, left = (fresh - before) / seconds, None
        if self._work is not None:
            done, of = self._work
            left = seconds / (done - work_before) * (of - done) if done > work_before else None
        elif self._total is not None:
            left = max(0.0, self._total - self._done) / rate
        return rate, left

    def _count(self, value: float) -> str:
        return f"{value / 1e6:,.1f}" if self._unit == "MB" else f"{value:,.0f}"

    def _rate(self, rate: float) -> str:
        if self._unit == "MB":
            return f"{rate / 1e6:,.1f} MB/s"
        return f"{rate:,.1f}/s" if rate >= 0.1 else f"{spoken(1 / rate)} each"


def _every() -> float:
    with suppress(KeyError, ValueError):
        return max(0.1, float(os.environ["LLINK_PROGRESS_SECONDS"]))
    return EVERY


def spoken(seconds: float) -> str:
    """A time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
