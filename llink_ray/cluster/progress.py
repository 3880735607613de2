"""Progress of a run for a person at a terminal, read off its history file."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llink_ray.evaluation import history

_NAMES = {"a": "Stage A", "b": "Stage B"}
_EVERY = 0.5


@contextmanager
def following(path: Path, steps: Mapping[str, int]) -> Iterator[None]:
    """Show what is written to the history at ``path`` until the block ends.

    A terminal gets a bar a stage; a file or a pipe gets a line where held-out pairs were looked at.
    """
    done = threading.Event()
    watch = _bars if sys.stderr.isatty() else _lines
    thread = threading.Thread(target=watch, args=(path, steps, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _newest(path: Path, stage: str) -> dict[str, Any] | None:
    records = [r for r in history.read(path) if r.get("stage") == stage] if path.exists() else []
    return records[-1] if records else None


def _bars(path: Path, steps: Mapping[str, int], done: threading.Event) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = {
            s: progress.add_task(_NAMES[s], total=n, told="", start=False, visible=False)
            for s, n in steps.items()
        }
        closing = progress.add_task("figures on held-out pairs", total=None, told="", visible=False)
        while True:
            last = done.wait(_EVERY)
            for stage, bar in bars.items():
                record = _newest(path, stage)
                if record is None:
                    continue
                if not progress.tasks[bar].started:
                    progress.start_task(bar)
                progress.update(
                    bar, completed=record["step"], told=f"loss {record['loss']:.3f}", visible=True
                )
                if record["step"] == steps[stage]:
                    progress.stop_task(bar)
                    progress.update(closing, visible=stage == "b" and not last)
            if last:
                return


def _lines(path: Path, steps: Mapping[str, int], done: threading.Event) -> None:
    told = 0
    while True:
        last = done.wait(_EVERY)
        records = history.read(path) if path.exists() else []
        looked = [r for r in records if any(k.startswith("validation/") for k in r)]
        told = min(told, len(looked))  # a restarted worker takes records back
        for record in looked[told:]:
            seen = "  ".join(
                f"{k.split('/')[1]} {v:.3f}" for k, v in record.items() if k.startswith("validation/")
            )
            name = _NAMES[record["stage"]]
            total = steps[record["stage"]]
            print(
                f"{name}  {record['step']}/{total}  loss {record['loss']:.3f}  held-out {seen}",
                file=sys.stderr,
                flush=True,
            )
        told = len(looked)
        if last:
            return


class Rate:
    """Progress of a long step with its rate and the time left: a line whenever some seconds have passed.

    A terminal and a log file get the same lines, so that a step without a terminal is not silent.
    """

    def __init__(self, what: str, unit: str, say: Callable[[str], None], every: float = 10.0) -> None:
        self._what, self._unit, self._say, self._every = what, unit, say, every
        self._since = self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` units are done."""
        now = time.monotonic()
        if done < total and now - self._told < self._every:
            return
        self._told, seconds = now, max(now - self._since, 1e-6)
        left = "" if done >= total else f", about {_spoken(seconds / max(1, done) * (total - done))} left"
        self._say(f"{self._what}: {done:,} of {total:,} {self._unit}, {done / seconds:,.1f}/s{left}")


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
