"""What the processes below this one take: time, memory, open files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Taken:
    """By all of them together."""

    cpu: float
    """Seconds of the processor since they started."""
    memory: int
    """Bytes of resident memory, shared pages counted in each."""
    handles: int
    """Open files, sockets included."""
    count: int


class Below:
    """The processes that this one has started, and theirs."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def _all(self) -> Iterator[psutil.Process]:
        for process in psutil.Process().children(recursive=True):
            yield self._known.setdefault(process.pid, process)

    def taken(self) -> Taken:
        """Now."""
        cpu, memory, handles, count = 0.0, 0, 0, 0
        for process in self._all():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += process.memory_info().rss
                handles += process.num_fds()
                count += 1
        return Taken(cpu, memory, handles, count)

    def seconds(self) -> dict[str, float]:
        """Of the processor, by what a process of Ray calls itself; all others together."""
        found: dict[str, float] = {}
        for process in self._all():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
                name = process.cmdline()[0].strip()
                name = name.rpartition(":")[2].partition(".")[0] if name.startswith("ray::") else "others"
                times = process.cpu_times()
                found[name] = found.get(name, 0.0) + times.user + times.system
        return found
