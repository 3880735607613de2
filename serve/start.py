"""Bring the application up on the Ray that this process is connected to, and take it down again."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from llink_ray.errors import JobFailed, LlinkError
from serve.settings import ServeSettings

_READY_SECONDS = 300.0
_PAUSE = 0.25
_TOLD = 5.0
"""Seconds beyond the grace in which every replica has answered that nothing is under way."""


@dataclass(frozen=True)
class RunningService:
    """A service that answers."""

    url: str
    models: tuple[str, ...]


def say(line: str) -> None:
    """Tell whoever started it."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def cluster(address: str | None, folder: Path | None) -> Iterator[None]:
    """A Ray as ``local_ray.connect`` gives it, whose proxies get our front where it is started.

    Raises:
        JobFailed: see there.
    """
    from llink_ray.cluster.local_ray import connect
    from serve import proxy

    os.environ.setdefault(proxy.VARIABLE, proxy.PATH)
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    where = address or os.environ.get("RAY_ADDRESS")
    say(f"joining the Ray at {where}" if where and where != "local" else "starting Ray on this machine")
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
    from serve.waiting import telling

    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # what it does is told in our words
    bound = application(settings)
    _require_free(settings.http.host, settings.http.port)
    listen = HTTPOptions(host=settings.http.host, port=settings.http.port, keep_alive_timeout_s=75)
    up: RunningService | None = None
    try:
        say("starting Ray Serve")
        serve.start(
            proxy_location="HeadOnly",
            http_options=listen,
            logging_config={"enable_access_log": False},  # the ingress writes a line of its own
        )
        with telling(APPLICATION, say):
            serve.run(bound, name=APPLICATION, route_prefix="/", blocking=False)
            up = _ready(settings)
        yield up
    finally:
        say("ending the service")
        _mute()
        try:
            if up is not None:
                _wind_down(APPLICATION, settings.grace_seconds)
        finally:
            serve.shutdown()


def _wind_down(name: str, seconds: float) -> None:
    """Let what has begun end, or hear that it will not: Ray Serve's own way breaks streams off."""
    from ray import serve

    with suppress(Exception):  # where it cannot be told any more there is nothing to end either
        told = serve.get_app_handle(name).broadcast("wind_down", seconds)
        told.results(timeout_s=seconds + _TOLD)


def _mute() -> None:
    """No more notes of Ray's: that its controller has ended is what was asked for."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


def require_address(settings: ServeSettings) -> None:
    """Refuse at once what would be refused after Ray has started, or a language was taught.

    Raises:
        LlinkError: keys that cannot be used, none where other machines get in, or a port that is taken.
    """
    from serve import key_files

    key_files.load(settings)
    _require_free(settings.http.host, settings.http.port)


def _require_free(host: str, port: int) -> None:
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


def _ready(settings: ServeSettings) -> RunningService:
    host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    url = f"http://{host}:{settings.http.port}"
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            told = httpx2.get(f"{url}/ready", timeout=10, trust_env=False)
            if told.status_code == 200:
                return RunningService(f"{url}/v1", tuple(told.json()["models"]))
        except httpx2.HTTPError:
            pass
        time.sleep(_PAUSE)
    raise JobFailed(f"the service did not become ready in {_READY_SECONDS:.0f} seconds: look at Ray's logs")
