"""``python -m ui`` as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import psutil
import pytest
from listening import free_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-that-is-shown-to-nobody"


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LLINK_")}
    return subprocess.Popen(
        [sys.executable, "-m", "ui", *arguments],
        cwd=ROOT,
        env={**clean, "LLINK_API_KEY": KEY, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_tells_where_and_ends_when_told_to(number: signal.Signals, code: int, tmp_path: Path) -> None:
    process = command(
        "--port", "0", "--api", f"http://127.0.0.1:{free_port()}", "--votes", str(tmp_path / "v")
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline() == "starting the chat\n"
        said = process.stderr.readline()
        found = re.search(r"chat on (http://127\.0\.0\.1:\d+)", said)
        assert found, said
        assert httpx2.get(found[1], timeout=30).status_code == 200
        listening = {
            one.laddr.ip
            for one in psutil.Process(process.pid).net_connections()
            if one.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert process.returncode == code
        assert not out and "Traceback" not in err and KEY not in said + err
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--host", "192.0.2.1"), "there is no login"),
        (("--api", "nowhere"), "no address like"),
        (("--votes", "/nonexistent/votes.jsonl"), "--votes"),
        (("--key-file", "/nonexistent"), "key_file"),
        (("--set", "colour=red"), "unknown setting"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: tuple[str, ...], told: str) -> None:
    out, err = (process := command(*arguments)).communicate(timeout=120)
    assert process.returncode == 2 and not out
    assert err.startswith("error: ") and err.count("\n") == 1 and told in err
