"""Progress of runs: workers write it into the run's log, and the driver shows it from there."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llink_ray.cluster.run_directory import RunDir
from llink_ray.progress import PrintLine
from llink_ray.training import history

STAGES = {"a": "Stage A", "b": "Stage B"}
_EVERY = 0.5
_STAMP = "%Y-%m-%dT%H:%M:%S"


def log_writer(path: Path) -> PrintLine:
    """Appends lines to a log, with the time, where its folder is there already."""

    def write(line: str) -> None:
        with suppress(OSError):  # a full disk is told by what needs it
            if path.parent.is_dir():
                with path.open("a", encoding="utf-8") as log:
                    log.write(f"{time.strftime(_STAMP)} {line}\n")

    return write


def say_and_log(run: RunDir, say: PrintLine) -> PrintLine:
    """Print a line, and write it into the run's log."""
    write = log_writer(run.log)

    def both(line: str) -> None:
        say(line)
        write(line)

    return both


@contextmanager
def show_progress(run: RunDir, steps: Mapping[str, int], say: PrintLine) -> Iterator[None]:
    """Show what the workers of a run log until the block ends; a terminal also gets a bar for each stage."""
    if not sys.stderr.isatty():
        with tail_logs({"": run.log}, say):
            yield
        return
    with _bars(run, steps) as print_above, tail_logs({"": run.log}, print_above):
        yield


@contextmanager
def tail_logs(logs: Mapping[str, Path], say: PrintLine) -> Iterator[None]:
    """Print every line that is written into the logs in this block, prefixed with the log's name."""
    offsets = {name: path.stat().st_size if path.exists() else 0 for name, path in logs.items()}

    def poll() -> None:
        for name, path in logs.items():
            for line in _new_lines(path, offsets, name):
                say(f"{name}: {line}" if name else line)

    with _repeating(poll):
        yield


def _new_lines(path: Path, offsets: dict[str, int], name: str) -> list[str]:
    """The complete lines behind the offset reached so far, without their times; moves the offset."""
    with suppress(OSError), path.open("rb") as log:
        log.seek(offsets[name])
        content = log.read()
        whole = content[: content.rfind(b"\n") + 1]
        offsets[name] += len(whole)
        return [line.partition(" ")[2] for line in whole.decode("utf-8", "replace").splitlines()]
    return []


@contextmanager
def _repeating(poll: Callable[[], None]) -> Iterator[None]:
    """Call ``poll`` regularly until the block ends, and once afterwards."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY):
            poll()
        poll()

    thread = threading.Thread(target=watch, name="following", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _latest_record(path: Path, stage: str) -> dict[str, Any] | None:
    records = [r for r in history.read(path) if r.get("stage") == stage] if path.exists() else []
    return records[-1] if records else None


@contextmanager
def _bars(run: RunDir, steps: Mapping[str, int]) -> Iterator[PrintLine]:
    """A bar for each stage; yields what prints other lines above them."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = {
            s: progress.add_task(STAGES[s], total=n, note="", start=False, visible=False)
            for s, n in steps.items()
        }
        closing = progress.add_task("figures on held-out pairs", total=None, note="", visible=False)

        def poll() -> None:
            for stage, bar in bars.items():
                record = _latest_record(run.history, stage)
                if record is None:
                    continue
                if not progress.tasks[bar].started:
                    progress.start_task(bar)
                progress.update(
                    bar, completed=record["step"], note=f"loss {record['loss']:.3f}", visible=True
                )
                if record["step"] == steps[stage]:
                    progress.stop_task(bar)
                    progress.update(closing, visible=stage == "b")

        def print_above(line: str) -> None:
            if not line.startswith(tuple(f"{name}: " for name in STAGES.values())):
                progress.console.print(line, markup=False, highlight=False)

        with _repeating(poll):
            yield print_above
        progress.update(closing, visible=False)
