"""Start the application on the Ray that this process is connected to, and stop it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from llink_ray.errors import JobFailed, LlinkError
from serve.settings import ServeSettings

_READY_SECONDS = 300.0
_POLL_SECONDS = 0.25
_DRAIN_EXTRA_SECONDS = 5.0
"""Time after the grace period in which every replica has reported that it is idle."""
_PROGRESS_POLL_SECONDS = 1.0
_PROGRESS_REPEAT_SECONDS = 15.0


@dataclass(frozen=True)
class RunningService:
    """A service that answers."""

    url: str
    models: tuple[str, ...]


def print_status(line: str) -> None:
    """Tell the person at the terminal."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def cluster(address: str | None, folder: Path | None) -> Iterator[None]:
    """Ray as ``local_ray.connect`` gives it, whose proxies get our middleware where it is started.

    Raises:
        JobFailed: see there.
    """
    from llink_ray.cluster.local_ray import connect
    from serve import proxy

    os.environ.setdefault(proxy.VARIABLE, proxy.PATH)
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    target = address or os.environ.get("RAY_ADDRESS")
    joins = target and target != "local"
    print_status(f"joining the Ray at {target}" if joins else "starting Ray on this machine")
    with connect(address, folder):
        yield


@contextmanager
def serving(settings: ServeSettings) -> Iterator[RunningService]:
    """The application answers inside this block.

    Raises:
        LlinkError: wrong settings, an empty registry, or a port that is taken.
        JobFailed: it did not become ready.
    """
    from ray import serve
    from ray.serve.config import HTTPOptions

    from serve.app import APPLICATION, application

    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # progress is reported in our own words
    bound = application(settings)
    _require_free_port(settings.http.host, settings.http.port)
    http = HTTPOptions(host=settings.http.host, port=settings.http.port, keep_alive_timeout_s=75)
    running: RunningService | None = None
    try:
        print_status("starting Ray Serve")
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config={"enable_access_log": False})
        with _progress(APPLICATION):
            serve.run(bound, name=APPLICATION, route_prefix="/", blocking=False)
            running = _wait_until_ready(settings)
        yield running
    finally:
        print_status("ending the service")
        _mute_ray()
        try:
            if running is not None:
                _drain(APPLICATION, settings.grace_seconds)
        finally:
            serve.shutdown()


def _drain(application: str, grace_seconds: float) -> None:
    """End requests in order: Ray Serve's own way breaks streams off."""
    from ray import serve

    with suppress(Exception):  # an application that cannot be reached has no requests to end
        results = serve.get_app_handle(application).broadcast("drain", grace_seconds)
        results.results(timeout_s=grace_seconds + _DRAIN_EXTRA_SECONDS)


def _mute_ray() -> None:
    """Ray would report the end of its controller, which was asked for."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


def require_startable(settings: ServeSettings) -> None:
    """Refuse early what would be refused after Ray has started, or a language was taught.

    Raises:
        LlinkError: keys that cannot be used, none where other machines get in, or a port that is taken.
    """
    from serve import key_files

    key_files.load(settings)
    _require_free_port(settings.http.host, settings.http.port)


def _require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LlinkError(
                f"port {port} on {host} cannot be used ({error.strerror}): stop what listens there, or "
                "choose another with --port"
            ) from None


def _wait_until_ready(settings: ServeSettings) -> RunningService:
    host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    url = f"http://{host}:{settings.http.port}"
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx2.HTTPError):
            response = httpx2.get(f"{url}/ready", timeout=10, trust_env=False)
            if response.status_code == 200:
                return RunningService(f"{url}/v1", tuple(response.json()["models"]))
        time.sleep(_POLL_SECONDS)
    raise JobFailed(f"the service did not become ready in {_READY_SECONDS:.0f} seconds: look at Ray's logs")


@contextmanager
def _progress(application: str) -> Iterator[None]:
    """Report which deployments do not run yet, when that changes and every now and then."""
    ended = threading.Event()
    thread = threading.Thread(target=_report_progress, args=(application, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_PROGRESS_POLL_SECONDS)


def _report_progress(application: str, ended: threading.Event) -> None:
    start = reported_at = time.monotonic()
    reported = ""
    while not ended.wait(_PROGRESS_POLL_SECONDS):
        with suppress(Exception):  # Ray may be ending meanwhile
            pending, now = _pending(application), time.monotonic()
            is_due = pending != reported or now - reported_at >= _PROGRESS_REPEAT_SECONDS
            if is_due and not ended.is_set():
                print_status(f"waiting for {pending} ({now - start:.0f} s)")
                reported, reported_at = pending, now


def _pending(application: str) -> str:
    from ray import serve

    status = serve.status().applications.get(application)
    if status is None or not status.deployments:
        return "Ray Serve"
    starting = [name for name, each in status.deployments.items() if each.status != "HEALTHY"]
    return ", ".join(starting) if starting else "the bundles"
