"""Ctrl-C and SIGTERM: in order the first time, at once the second; the exit code says which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from llink_ray.stopping import checkpoint_seconds, stoppable

ROOT = Path(__file__).parents[1]
JOB = """
import subprocess, sys, time
from pathlib import Path
from llink_ray.cluster.command import carry_out
from llink_ray.stopping import removed_if_killed, resumable

how, folder = sys.argv[1], Path(sys.argv[2])

def job():
    folder.mkdir()
    below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with removed_if_killed(folder), resumable(lambda: "go on with: again"):
        try:
            print("begun", below.pid, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            if how == "fails":
                raise RuntimeError("what the job stood on is gone")
            if how == "slow":
                print("closing", flush=True)
                time.sleep(60)
            raise
        finally:
            if how != "slow":
                below.kill()
                below.wait()

sys.exit(carry_out(job))
"""


@contextmanager
def running(how: str, folder: Path, *before: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A job that has begun, and the process below it."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", JOB, how, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr  # stdout is for the last line
    try:
        line = process.stderr.readline().split()
        assert line[:1] == ["begun"], line
        yield process, int(line[1])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("how", ["orderly", "fails"])
def test_the_first_ends_in_order(how: str, number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Also where a library, interrupted, raises an error of its own."""
    with running(how, tmp_path / "own") as (job, below):
        job.send_signal(number)
        out, err = job.communicate(timeout=30)
    assert (job.returncode, out) == (code, "")
    assert err.splitlines()[-2:] == ["stopped", "go on with: again"] and "Traceback" not in err
    assert not psutil.pid_exists(below)


def test_sigterm_where_ctrl_c_is_ignored(tmp_path: Path) -> None:
    """As behind ``nohup … &``."""
    with running("orderly", tmp_path / "own", "sh", "-c", 'trap "" INT; exec "$@"', "sh") as (job, _):
        job.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert job.poll() is None, "what was ignored is not any more"
        job.send_signal(signal.SIGTERM)
        _, err = job.communicate(timeout=30)
    assert job.returncode == 143 and err.endswith("stopped\ngo on with: again\n")


def test_how_to_go_on_is_said_at_once_and_the_second_waits_for_nothing(tmp_path: Path) -> None:
    with running("slow", tmp_path / "own") as (job, below):
        job.send_signal(signal.SIGTERM)
        assert job.stderr
        said = [job.stderr.readline() for _ in range(4)]
        assert said[1:] == ["stopping; once more ends it at once\n", "go on with: again\n", "closing\n"]
        time.sleep(0.5)
        job.send_signal(signal.SIGTERM)
        _, err = job.communicate(timeout=5)
    assert job.returncode == 143 and err.endswith("go on with: again\n")
    assert not psutil.pid_exists(below)
    assert not (tmp_path / "own").exists()


def test_one_signal_that_comes_twice_is_one(tmp_path: Path) -> None:
    """``timeout`` sends it to the process and to its group."""
    with running("orderly", tmp_path / "own") as (job, _):
        job.send_signal(signal.SIGTERM)
        job.send_signal(signal.SIGTERM)
        _, err = job.communicate(timeout=30)
    assert job.returncode == 143 and err.endswith("stopped\ngo on with: again\n")


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stoppable() as outer, stoppable() as inner:
        assert outer is inner
        assert signal.getsignal(signal.SIGTERM) == outer.handle
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 6.0),
        ({"LLINK_STOP_SECONDS": "25"}, 25.0),
        ({"LLINK_STOP_SECONDS": "soon"}, 6.0),
        ({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, 1.0),
        ({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "RAY_JOB_STOP_WAIT_TIME_S": "30"}, 28.0),
    ],
)
def test_time_for_a_checkpoint(
    environment: dict[str, str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than whoever stops a job waits until it kills."""
    for name in ("LLINK_STOP_SECONDS", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_JOB_STOP_WAIT_TIME_S"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert checkpoint_seconds() == seconds
