"""What the processes below this one take: time, memory, open files."""

from __future__ import annotations

import os
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

    def by_name(self) -> dict[str, tuple[float, int]]:
        """Seconds of the processor and bytes of memory, by what a process calls itself."""
        found: dict[str, tuple[float, int]] = {}
        for process in self._all():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
                words = process.cmdline()
                name = words[0] if words[0].startswith("ray::") else os.path.basename(words[0])
                if name.startswith("python") and len(words) > 1:
                    name = os.path.basename(next((w for w in words[1:] if w.endswith(".py")), words[1]))
                times, (cpu, memory) = process.cpu_times(), found.get(name, (0.0, 0))
                found[name] = cpu + times.user + times.system, memory + process.memory_info().rss
        return found
