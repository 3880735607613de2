"""How a job is stopped: Ctrl-C and SIGTERM, in order the first time and at once the second.

The first signal becomes a ``KeyboardInterrupt``, so that everything that is open is closed, whoever sent it
and whether or not Ctrl-C's own signal is ignored (as behind ``nohup … &``).
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

SECONDS = 6.0
"""For a fresh checkpoint: ``docker stop`` allows ten in all, Kubernetes thirty."""
_SECONDS, _JOB_SECONDS = "LLINK_STOP_SECONDS", "RAY_JOB_STOP_WAIT_TIME_S"
_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_JOB_WAITS = 3.0
"""Seconds from ``ray job stop`` to the kill, where its variable says nothing else."""
_CLOSING = 2.0
"""Of those, what closing takes."""
_SAME = 0.3
"""Seconds in which a signal is the same one: ``timeout`` and ``make`` send it twice."""


class Stop:
    """The state of one :func:`stoppable` block."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that stopped the job; 0 while none did."""
        self.told = ""
        """How to go on, as it was said then."""
        self._at = 0.0
        self._ways: list[Callable[[], str]] = []
        self._folders: list[Path] = []

    @property
    def exit_code(self) -> int:
        """Of a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def how(self) -> str:
        """How to go on, as far as is known now."""
        with suppress(Exception):  # a file that cannot be read must not get in the way of the end
            return self._ways[0]() if self._ways else ""
        return ""

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of both signals; what comes later is the watching thread's.

        Raises:
            KeyboardInterrupt: the first time.
        """
        if self.number:
            return
        signal.alarm(0)  # Ray's own handler, if it was there first, has set one that aborts in three seconds
        self.number, self.told = number, self.how()
        _write("\nstopping; once more ends it at once", self.told)
        raise KeyboardInterrupt

    def seen(self, number: int) -> None:
        """Told of every signal, also while the main thread is in a library that returns late."""
        now = time.monotonic()
        self._at = self._at or now
        if now - self._at > _SAME:
            self.end_at_once(number)

    def end_at_once(self, number: int) -> None:
        """Leave this process and those below it, without an orderly end."""
        self.number = number
        below = psutil.Process().children(recursive=True)
        for process in below:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(below, timeout=1)
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        _write("\nstopped at once", self.told or self.how())
        os._exit(self.exit_code)


_current = Stop()


def stopped_by() -> int:
    """The signal that has stopped this job; 0 while none did."""
    return _current.number


def takes_signals() -> bool:
    """Whether a :func:`stoppable` block is entered."""
    return signal.getsignal(signal.SIGTERM) == _current.handle


def seconds_for_a_checkpoint() -> float:
    """How long a stopped job may wait for one before whoever stopped it loses patience."""
    given = os.environ.get(_SECONDS)
    with suppress(ValueError):
        if given is not None:
            return max(0.0, float(given))
        if _RAY_JOB in os.environ:
            return max(0.5, float(os.environ.get(_JOB_SECONDS, _JOB_WAITS)) - _CLOSING)
    return SECONDS


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM stop what is done in this block, as the module says.

    Where Ctrl-C's signal is ignored, it stays ignored. Signals belong to the main thread: elsewhere, and
    inside another such block, this does nothing.
    """
    global _current
    if takes_signals() or threading.current_thread() is not threading.main_thread():
        yield _current
        return
    stop = Stop()
    with ExitStack() as stack:
        _current, before = stop, _current
        stack.callback(_forget, before)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGTERM:
                stack.callback(signal.signal, number, signal.signal(number, stop.handle))
        stack.enter_context(_watched(stop))
        yield stop


def _forget(before: Stop) -> None:
    global _current
    _current = before


@contextmanager
def _watched(stop: Stop) -> Iterator[None]:
    """A thread that is told of each signal at once; Python's handlers wait for the main thread."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while numbers := os.read(reading, 64):
            for number in numbers:
                if number in (signal.SIGINT, signal.SIGTERM):
                    stop.seen(number)

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(writing)
        thread.join()
        os.close(reading)


@contextmanager
def resumable(how: Callable[[], str]) -> Iterator[None]:
    """What is done in this block can be gone on with; ``how`` says so, should it be stopped.

    Raises:
        KeyboardInterrupt: with that as its text; of blocks inside each other, the outermost has the word.
    """
    ways = _current._ways
    ways.append(how)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how()) from None
    finally:
        ways.remove(how)


@contextmanager
def cleared(folder: Path) -> Iterator[None]:
    """``folder`` belongs to this block, which removes it itself unless it is ended at once."""
    folders = _current._folders
    folders.append(folder)
    try:
        yield
    finally:
        folders.remove(folder)


def _write(*lines: str) -> None:
    """To stderr, past Python's own buffer, which a handler may have interrupted."""
    with suppress(OSError):
        os.write(2, "".join(f"{line}\n" for line in lines if line).encode("utf-8", "replace"))
