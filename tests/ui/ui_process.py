"""The API and the chat as processes of their own, started and ended by pid."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
from listening import free_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "the-key-that-the-chat-of-the-tests-has"
HASTY = "the-key-that-may-ask-twice-a-minute"


_SYSTEM = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_us() -> None:
    """Told to end as soon as the tests' own process is gone, however it went."""
    if _SYSTEM:
        _SYSTEM.prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG


class Process:
    """A program that listens, and can be started again."""

    def __init__(self, command: list[str], log: Path, url: str, environment: Mapping[str, str]) -> None:
        self.command, self.log, self.url, self.environment = command, log, url, environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin to start; ``wait`` says when it has."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LLINK_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**clean, "PYTHONPATH": str(ROOT), **self.environment},
                start_new_session=True,
                preexec_fn=_end_with_us,
            )

    def wait(self, path: str = "/", seconds: float = 150.0) -> None:
        """Until it answers."""
        deadline = time.monotonic() + seconds
        while not self._answers(path):
            assert self.runs, f"{self.command[1:4]} ended:\n{self.text()[-3000:]}"
            assert time.monotonic() < deadline, f"{self.command[1:4]} is not ready:\n{self.text()[-3000:]}"
            time.sleep(0.1)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it; SIGKILL where that takes too long."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)

    def text(self) -> str:
        """All that it has written."""
        return self.log.read_text("utf-8", "replace")

    def _answers(self, path: str) -> bool:
        with suppress(httpx2.HTTPError):
            return bool(httpx2.get(self.url + path, timeout=5).status_code < 500)
        return False


class ApiProcess(Process):
    """The real API over the languages of ``ui_api``."""

    def __init__(self, folder: Path, *assignments: str) -> None:
        self.folder = folder
        keys = folder / "keys.yaml"
        keys.write_text(
            f"- {{name: chat, key: {KEY}}}\n- {{name: hasty, key: {HASTY}, requests_per_minute: 2}}\n"
        )
        keys.chmod(0o600)
        port = free_port()
        program = [sys.executable, str(Path(__file__).with_name("ui_api.py")), str(folder), str(port)]
        super().__init__(
            [*program, f"keys.file={keys}", *assignments],
            folder / "api.txt",
            f"http://127.0.0.1:{port}",
            {"OMP_NUM_THREADS": "1"},
        )

    def wait(self, path: str = "/ready", seconds: float = 200.0) -> None:
        """Until the models have answered."""
        super().wait(path, seconds)

    def asked(self, outcome: str = "") -> float:
        """Answers that were asked for; only those of an outcome, such as ``cancelled``."""
        told = httpx2.get(f"{self.url}/metrics", headers={"authorization": f"Bearer {KEY}"}, timeout=30).text
        lines = [line for line in told.splitlines() if line.startswith("llink_requests_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'outcome="{outcome}' in line)


class ChatProcess(Process):
    """The chat, as a person starts it."""

    def __init__(self, folder: Path, api: str, *arguments: str, key: str = KEY, **environment: str) -> None:
        port = free_port()
        command = [sys.executable, "-m", "ui", "--api", api, "--port", str(port), *arguments]
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            command,
            folder / "ui.txt",
            f"http://127.0.0.1:{port}",
            {"LLINK_API_KEY": key, **environment},
        )


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """All of them at once, ended behind the block."""
    try:
        for one in processes:
            one.start()
        for one in processes:
            one.wait()
        yield
    finally:
        for one in processes:
            one.end()
