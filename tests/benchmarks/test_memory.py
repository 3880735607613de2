from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "memory.py"
HOLD = "held = b'x' * ({mib} * 2**20); import time; time.sleep(5)"
DETACH = """
import os, subprocess, sys, time
if os.fork() == 0:  # a daemon: its parent ends at once
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
    os._exit(0)
os.wait()
time.sleep(6)
"""


def watched(*command: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--every", "0.1", "--", *command], capture_output=True, text=True
    )
    return json.loads(done.stdout), done


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("detached", [False, True])
def test_the_peak_is_the_commands_own(detached: bool) -> None:
    hold = HOLD.format(mib=200)
    told, _ = watched(*([sys.executable, "-c", DETACH, hold] if detached else [sys.executable, "-c", hold]))
    assert 200 / 1024 < told["peak_gib"] < 300 / 1024
    assert told["exit_code"] == 0 and told["samples"] > 3
    assert told["processes"] == 1 + detached
    assert 200 / 1024 < told["unmapped_gib"] <= told["peak_gib"] + 0.001
    assert told["largest"][0][1] > 200 / 1024


def test_pages_of_a_mapped_file_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(bytes(200 << 20))
    reads = f"import mmap; f = open({str(file)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
    told, _ = watched(sys.executable, "-c", f"{reads}; sum(m[::4096]); import time; time.sleep(2)")
    assert told["peak_gib"] > 200 / 1024 > 100 / 1024 > told["unmapped_gib"]


@pytest.mark.parametrize(("ends", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137)])
def test_the_commands_end_is_told_and_its_output_is_not_in_the_way(ends: str, code: int) -> None:
    told, done = watched(sys.executable, "-c", f"import os, sys; print('said', flush=True); {ends}")
    assert done.returncode == code
    assert told["exit_code"] == (code if code < 128 else 128 - code)
    assert "said" in done.stderr and "said" not in done.stdout


def test_a_command_that_is_not_there() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--", "/no/such"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'/no/such' cannot be started" in done.stderr and "Traceback" not in done.stderr


def test_whoever_ends_it_ends_the_command() -> None:
    command = "import sys, time; print('up', file=sys.stderr, flush=True); time.sleep(60)"
    line = [sys.executable, str(SCRIPT), "--", sys.executable, "-c", command]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "up\n"
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + 15 and json.loads(out)["exit_code"] == -15
