"""Progress of runs: what their workers write into the run's log, read by whoever waits for them."""

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
    """To a person, and into the run's log."""
    write = log_writer(run.log)

    def tell(line: str) -> None:
        say(line)
        write(line)

    return tell


@contextmanager
def show_progress(run: RunDir, steps: Mapping[str, int], say: PrintLine) -> Iterator[None]:
    """Show what the workers of a run say until the block ends; a terminal gets a bar a stage besides."""
    if not sys.stderr.isatty():
        with tail_logs({"": run.log}, say):
            yield
        return
    with _bars(run, steps) as print_above, tail_logs({"": run.log}, print_above):
        yield


@contextmanager
def tail_logs(logs: Mapping[str, Path], say: PrintLine) -> Iterator[None]:
    """Say every line that is written into logs in this block, behind the name that a log has here."""
    places = {name: path.stat().st_size if path.exists() else 0 for name, path in logs.items()}

    def look() -> None:
        for name, path in logs.items():
            for line in _new_lines(path, places, name):
                say(f"{name}: {line}" if name else line)

    with _repeating(look):
        yield


def _new_lines(path: Path, places: dict[str, int], name: str) -> list[str]:
    """What stands behind the place reached so far, whole lines alone, without their times."""
    with suppress(OSError), path.open("rb") as log:
        log.seek(places[name])
        content = log.read()
        whole = content[: content.rfind(b"\n") + 1]
        places[name] += len(whole)
        return [line.partition(" ")[2] for line in whole.decode("utf-8", "replace").splitlines()]
    return []


@contextmanager
def _repeating(look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` now and then until the block ends, and once afterwards."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            look()
        look()

    thread = threading.Thread(target=watch, name="following", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _newest(path: Path, stage: str) -> dict[str, Any] | None:
    records = [r for r in history.read(path) if r.get("stage") == stage] if path.exists() else []
    return records[-1] if records else None


@contextmanager
def _bars(run: RunDir, steps: Mapping[str, int]) -> Iterator[PrintLine]:
    """A bar for each stage; what is said about the steps themselves would say the same."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = {
            s: progress.add_task(STAGES[s], total=n, told="", start=False, visible=False)
            for s, n in steps.items()
        }
        closing = progress.add_task("figures on held-out pairs", total=None, told="", visible=False)

        def look() -> None:
            for stage, bar in bars.items():
                record = _newest(run.history, stage)
                if record is None:
                    continue
                if not progress.tasks[bar].started:
                    progress.start_task(bar)
                progress.update(
                    bar, completed=record["step"], told=f"loss {record['loss']:.3f}", visible=True
                )
                if record["step"] == steps[stage]:
                    progress.stop_task(bar)
                    progress.update(closing, visible=stage == "b")

        def print_above(line: str) -> None:
            if not line.startswith(tuple(f"{name}: " for name in STAGES.values())):
                progress.console.print(line, markup=False, highlight=False)

        with _repeating(look):
            yield print_above
        progress.update(closing, visible=False)
