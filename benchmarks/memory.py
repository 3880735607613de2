"""The most memory that a command takes, over all its processes, those of Ray and others that detach included.

    python benchmarks/memory.py -- python jobs/train.py --lang=tibetan --set stage_b.steps=40

Every ``--every`` seconds, more seldom where that would take a twentieth of a processor, the proportional
set sizes (shared pages counted once) of the command's processes are summed; ``unmapped_gib`` is the peak
without pages of mapped files, which the system can drop and read again, as it does with features.
``largest`` has the processes that hold most at the peak. A process belongs to it if it descends from it, or
carries the mark that the command found in its environment and its children inherit, or was one of these
before. The command's output goes where it always goes, but its stdout to stderr: stdout has one JSON line
with the peak and the command's exit code, which is also the exit code here. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

MARK = "LLINK_MEMORY_RUN"
GIB = 1 << 30


class Family:
    """The processes of one command, by the mark in their environment and by descent."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.known: set[psutil.Process] = set()

    def members(self) -> set[psutil.Process]:
        """Those that live. Once known they stay so: a title that a process gives itself may write over the
        environment that ``/proc`` shows, and an orphan has no parent to be found by."""
        alive = list(psutil.process_iter())
        self.known &= set(alive)  # equal by number and time of start, so a number given again is another
        found = self.known | {process for process in alive if self._marked(process)}
        for process in list(found):
            found |= _descendants(process)
        self.known = found
        return found

    def _marked(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get(MARK) == self.mark)
        except (psutil.Error, OSError):
            return False  # gone, or not ours to read


def _descendants(process: psutil.Process) -> set[psutil.Process]:
    try:
        return set(process.children(recursive=True))
    except psutil.Error:
        return set()


def proportional(process: psutil.Process) -> tuple[str, int, int]:
    """Name, bytes, and bytes that are not of mapped files; a page that n share counts as 1/n for each."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        size = {key: int(value.split()[0]) << 10 for key, value in (line.split(":") for line in lines)}
        return process.name(), size["Pss"], size["Pss"] - size["Pss_File"]
    except (psutil.Error, OSError):
        return "", 0, 0  # it ended meanwhile


def watch(command: Sequence[str], every: float) -> dict[str, Any]:
    """Run ``command`` to its end: exit code, peaks in bytes, samples, processes at the peak, seconds."""
    mark = uuid.uuid4().hex
    family = Family(mark)
    started = time.monotonic()
    peak = unmapped = samples = 0
    at_peak: list[tuple[str, int, int]] = []
    with subprocess.Popen(  # noqa: S603 - the command is the person's own
        list(command), stdout=2, env={**os.environ, MARK: mark}
    ) as child:
        before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())  # nothing is left running
        while True:
            try:
                began = time.process_time()
                sizes = [proportional(process) for process in family.members()]
                samples += 1
                unmapped = max(unmapped, sum(size for _, _, size in sizes))
                if (now := sum(size for _, size, _ in sizes)) > peak:
                    peak, at_peak = now, sorted(sizes, key=lambda size: -size[1])
                # Summing over gigabytes of pages takes a while; the command is not to pay for it.
                child.wait(max(every, 20 * (time.process_time() - began)))
                break
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                continue  # Ctrl-C reaches the command itself, which knows how to end
        signal.signal(signal.SIGTERM, before)
    seconds = time.monotonic() - started
    return {
        "exit_code": child.returncode,
        "peak": peak,
        "unmapped": unmapped,
        "at_peak": at_peak,
        "samples": samples,
        "seconds": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; everything behind ``--`` is the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two samples (default: 0.5)")
    parser.add_argument("command", nargs="+", help="-- and the command with its arguments")
    asked = parser.parse_args(arguments)
    if asked.every <= 0:
        parser.error(f"--every is {asked.every}: give seconds above 0")
    try:
        seen = watch(asked.command, asked.every)
    except OSError as error:
        parser.error(f"{asked.command[0]!r} cannot be started ({error.strerror}): check the command")
    told = {
        "benchmark": "memory",
        "peak_gib": round(seen["peak"] / GIB, 3),
        "unmapped_gib": round(seen["unmapped"] / GIB, 3),
        "processes": len(seen["at_peak"]),
        "largest": [[name, round(size / GIB, 3)] for name, size, _ in seen["at_peak"][:4]],
        "samples": seen["samples"],
        "seconds": round(seen["seconds"], 1),
        "exit_code": seen["exit_code"],
    }
    print(f"at most {told['peak_gib']} GiB in {told['processes']} processes", file=sys.stderr)
    print(json.dumps(told), flush=True)
    return int(seen["exit_code"]) if seen["exit_code"] >= 0 else 128 - int(seen["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
