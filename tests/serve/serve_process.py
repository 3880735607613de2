"""The service as a person starts it: a process of its own, with all that it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import httpx2
import psutil
from listening import free_port
from serve_load import ADMIN

_ROOT = Path(__file__).parents[2]


class Started:
    """A service that runs."""

    def __init__(self, process: subprocess.Popen[str], port: int, errors: Path) -> None:
        self.process, self.errors = process, errors
        self.url = f"http://127.0.0.1:{port}"

    def processes(self) -> list[psutil.Process]:
        """Its own and all that it started."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def replicas(self, name: str) -> list[psutil.Process]:
        """Processes of a deployment, those that are still starting too."""
        return [one for one in self.processes() if command(one).startswith(f"ray::ServeReplica:llink:{name}")]

    def ready(self, name: str) -> set[int]:
        """Pids of a deployment's replicas that have started: the last thing is a second port."""
        return {one.pid for one in self.replicas(name) if len(listening(one)) >= 2}

    def kill(self, name: str) -> int:
        """SIGKILL one of a deployment's replicas; its pid."""
        pid = min(self.ready(name))
        os.kill(pid, signal.SIGKILL)
        return pid

    def logs(self) -> str:
        """Everything that it and Ray have written so far."""
        log_folders = {
            m[1] for one in self.processes() if (m := re.search(r"--log[-_]dir=(\S+)", command(one)))
        }
        assert log_folders, "Ray says where its logs are"
        files = [file for place in log_folders for file in Path(place).rglob("*") if file.is_file()]
        return "".join(file.read_text("utf-8", "replace") for file in [*files, self.errors])

    def end(self, number: signal.Signals, seconds: float = 45.0) -> tuple[int, float, list[psutil.Process]]:
        """Exit code after a signal, how long it took, and what is left behind."""
        all_of_them, start = self.processes(), time.monotonic()
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)  # a terminal's Ctrl-C reaches all of them
        else:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        took = time.monotonic() - start
        _, left = psutil.wait_procs(all_of_them, timeout=5)
        return code, took, left


def command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def listening(process: psutil.Process) -> list[str]:
    """Addresses."""
    with suppress(psutil.Error):
        return [one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
    return []


def is_loopback(address: str) -> bool:
    """Also where it is written as an IPv6 one."""
    return ip_address(address.removeprefix("::ffff:")).is_loopback


@contextmanager
def started(registry: Path, folder: Path, *sets: str, seconds: float = 240) -> Iterator[Started]:
    """The service over a registry, once it is ready."""
    port, errors = free_port(), folder / "stderr.txt"
    arguments = [part for one in sets for part in ("--set", one)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve", "--registry", str(registry), "--port", str(port), *arguments],
            cwd=_ROOT,
            env=environment | {"LLINK_ADMIN_KEY": ADMIN, "PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    service = Started(process, port, errors)
    try:
        deadline = time.monotonic() + seconds
        while not _answers(service.url):
            assert process.poll() is None and time.monotonic() < deadline, errors.read_text()[-2000:]
            time.sleep(0.5)
        yield service
    finally:
        left = service.processes()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(45)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def _answers(url: str) -> bool:
    try:
        return bool(httpx2.get(f"{url}/ready", timeout=5, trust_env=False).status_code == 200)
    except httpx2.HTTPError:
        return False
