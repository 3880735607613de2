"""How a job is stopped: Ctrl-C or SIGTERM once ends it in order, twice at once.

The first signal becomes a ``KeyboardInterrupt``, so that everything that is open is closed, whoever sent it
and whether or not SIGINT is ignored (as behind ``nohup … &``).
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

CHECKPOINT_SECONDS = 6.0
"""For a last checkpoint: ``docker stop`` allows ten seconds in all, Kubernetes thirty."""
_STOP_VARIABLE, _RAY_STOP_VARIABLE = "LLINK_STOP_SECONDS", "RAY_JOB_STOP_WAIT_TIME_S"
_RAY_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_RAY_STOP_SECONDS = 3.0
"""Ray's default from ``ray job stop`` to the kill."""
_CLOSING_SECONDS = 2.0
"""Of those, for closing."""
_REPEAT_SECONDS = 0.3
"""``timeout`` and ``make`` send a signal twice; within this time it counts once."""


class Stop:
    """State of one :func:`stoppable` block."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that stopped the job; 0 before one came."""
        self.hint = ""
        """How to resume, as it was printed when the signal came."""
        self._first_at = 0.0
        self._hints: list[Callable[[], str]] = []
        self._folders: list[Path] = []

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def resume_hint(self) -> str:
        """How to resume, as far as it is known now."""
        with suppress(Exception):  # an unreadable file must not prevent the end
            return self._hints[0]() if self._hints else ""
        return ""

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handler of the first signal; the watching thread handles later ones.

        Raises:
            KeyboardInterrupt: on the first signal.
        """
        if self.number:
            return
        signal.alarm(0)  # Ray's own handler may have set one that aborts in three seconds
        self.number, self.hint = number, self.resume_hint()
        _write("\nstopping; once more ends it at once", self.hint)
        raise KeyboardInterrupt

    def received(self, number: int) -> None:
        """Called for every signal, even while the main thread is in a library that returns late."""
        now = time.monotonic()
        self._first_at = self._first_at or now
        if now - self._first_at > _REPEAT_SECONDS:
            self.kill(number)

    def kill(self, number: int) -> None:
        """End this process and its children without cleaning up."""
        self.number = number
        children = psutil.Process().children(recursive=True)
        for process in children:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(children, timeout=1)
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        _write("\nstopped at once", self.hint or self.resume_hint())
        os._exit(self.exit_code)


_current = Stop()


def stop_signal() -> int:
    """The signal that has stopped this job; 0 before one came."""
    return _current.number


def handles_signals() -> bool:
    """Whether a :func:`stoppable` block is entered."""
    return signal.getsignal(signal.SIGTERM) == _current.handle


def checkpoint_seconds() -> float:
    """How long a stopped job may wait for a last checkpoint before it is killed."""
    setting = os.environ.get(_STOP_VARIABLE)
    with suppress(ValueError):
        if setting is not None:
            return max(0.0, float(setting))
        if _RAY_JOB_VARIABLE in os.environ:
            wait = float(os.environ.get(_RAY_STOP_VARIABLE, _RAY_STOP_SECONDS))
            return max(0.5, wait - _CLOSING_SECONDS)
    return CHECKPOINT_SECONDS


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM stop this block, as the module describes.

    An ignored SIGINT stays ignored. Signals belong to the main thread: in another thread, and inside another
    such block, this does nothing.
    """
    global _current
    if handles_signals() or threading.current_thread() is not threading.main_thread():
        yield _current
        return
    stop = Stop()
    with ExitStack() as stack:
        _current, previous = stop, _current
        stack.callback(_restore, previous)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGTERM:
                stack.callback(signal.signal, number, signal.signal(number, stop.handle))
        stack.enter_context(_watched(stop))
        yield stop


def _restore(previous: Stop) -> None:
    global _current
    _current = previous


@contextmanager
def _watched(stop: Stop) -> Iterator[None]:
    """A thread that receives each signal at once; Python's handlers wait for the main thread."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def watch() -> None:
        while numbers := os.read(read_end, 64):
            for number in numbers:
                if number in (signal.SIGINT, signal.SIGTERM):
                    stop.received(number)

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(write_end)
        thread.join()
        os.close(read_end)


@contextmanager
def resumable(hint: Callable[[], str]) -> Iterator[None]:
    """The work of this block can be resumed; ``hint`` says how, if it is stopped.

    Raises:
        KeyboardInterrupt: with the hint as its text; of nested blocks, with that of the outermost.
    """
    hints = _current._hints
    hints.append(hint)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(hint()) from None
    finally:
        hints.remove(hint)


@contextmanager
def removed_if_killed(folder: Path) -> Iterator[None]:
    """A second signal removes ``folder``; otherwise the block removes it itself."""
    folders = _current._folders
    folders.append(folder)
    try:
        yield
    finally:
        folders.remove(folder)


def _write(*lines: str) -> None:
    """To stderr without Python's buffer, which a handler may have interrupted."""
    with suppress(OSError):
        os.write(2, "".join(f"{line}\n" for line in lines if line).encode("utf-8", "replace"))
