"""Calls of ``jobs/evaluate.py``, and a record of those that did something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llink_ray.errors import JobFailed
from llink_ray.stopping import stop_signal
from paper.plan import ROOT, Step

RECORD = "calls.jsonl"
"""In a step's folder: commit, cores and seconds of each call."""
_running: set[subprocess.Popen[bytes]] = set()
STOPPED = "what was done is kept: the same command goes on from there"


def say(text: str) -> None:
    """Print to stderr."""
    print(text, file=sys.stderr, flush=True)


def commit() -> str:
    """Of this checkout, and whether files differ from it."""
    try:
        name, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} with changes" if changed else name


def _git(*words: str) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def evaluate(step: Step) -> None:
    """One call of the job, its progress shown.

    Raises:
        JobFailed: it ended with an error, which it has told.
        KeyboardInterrupt: stopped by the person; its text says how to go on.
    """
    say(f"== {step.part}, seed {step.seed}: {step.language}; {step.folder}")
    complete = step.document() is not None
    started, at = time.monotonic(), commit()
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(ROOT / "jobs" / "evaluate.py"), *step.flags],
        stdout=subprocess.DEVNULL,  # the document lies in the folder as well
        env={**os.environ, "PYTHONPATH": paths},
    )
    _running.add(process)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _end_calls()
        process.wait()
        raise KeyboardInterrupt(STOPPED) from None
    finally:
        _running.discard(process)
        if not complete and step.folder.is_dir():
            seconds = time.monotonic() - started
            _record(
                step,
                {"language": step.language, "commit": at, "cores": os.cpu_count(), "seconds": seconds},
            )
    if code in (130, 143):
        raise KeyboardInterrupt(STOPPED)
    if code:
        raise JobFailed(
            f"{step.part}, {step.language} with seed {step.seed}, was not finished, see above: the same "
            "command goes on from there; where the plan was changed, name another folder with --output"
        )


def _end_calls() -> None:
    """A terminal sends Ctrl-C to the jobs as well; SIGTERM may have come to this process alone."""
    if stop_signal() == signal.SIGTERM:
        for process in list(_running):
            process.terminate()


def evaluate_all(steps: Sequence[Step], at_once: int) -> None:
    """The calls, ``at_once`` at a time, the longest first; those that have begun end where one fails.

    Raises:
        JobFailed, KeyboardInterrupt: as ``evaluate``.
    """
    with ThreadPoolExecutor(at_once) as pool:
        longest_first = sorted(steps, key=lambda step: -len(step.systems))
        calls = [pool.submit(evaluate, step) for step in longest_first]
        try:
            for call in calls:
                call.result()
        except KeyboardInterrupt:
            _end_calls()
            pool.shutdown(wait=False, cancel_futures=True)
            raise KeyboardInterrupt(STOPPED) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _record(step: Step, call: dict[str, Any]) -> None:
    with (step.folder / RECORD).open("a", encoding="utf-8") as file:
        file.write(json.dumps(call) + "\n")


def recorded(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The calls of these steps that did something."""
    files = dict.fromkeys(step.folder / RECORD for step in steps)
    return [
        json.loads(line) for file in files if file.exists() for line in file.read_text("utf-8").splitlines()
    ]
