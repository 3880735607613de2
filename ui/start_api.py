"""Start the service where it is not up: ``python -m serve`` as a child process that ends with the chat."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.network import is_loopback

_END_SECONDS, _POLL_SECONDS = 60.0, 0.5


@contextmanager
def running_api(url: str, *arguments: str) -> Iterator[None]:
    """The service is ready at ``url`` within this block; one that is up already stays up after it.

    ``arguments`` go to ``python -m serve``, whose messages go to stderr. It ends by itself where it cannot
    become ready, so there is no timeout: training languages first may take long.

    Raises:
        LlinkError: it is not up, and its address is not this machine's.
        JobFailed: it ended before it was ready.
    """
    base = url.rstrip("/").removesuffix("/v1")
    if _status(base, "/health") is not None:
        _wait_for(base)
        yield
        return
    command = [sys.executable, "-m", "serve", *_listen_arguments(base), *arguments]
    print(f"no API at {base} yet: starting it, which takes a minute", file=sys.stderr, flush=True)
    # In a session of its own: Ctrl-C reaches the chat alone, which then ends the child in order.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        _wait_for_child(base, child)
        yield
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _status(url: str, path: str) -> int | None:
    """HTTP status of a path; None where nothing speaks HTTP."""
    try:
        return int(httpx2.get(f"{url}{path}", timeout=5, trust_env=False).status_code)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return None


def _listen_arguments(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or parts.path or not is_loopback(host):
        raise LlinkError(
            f"the API at {url} does not answer, and it is not this machine's to start: start it there, or "
            "name another with --api"
        )
    return "--host", "127.0.0.1" if host == "localhost" else host, "--port", str(parts.port or 80)


def _wait_for(url: str) -> None:
    """Wait for a service that something else started."""
    announced = False
    while _status(url, "/ready") != 200:
        if _status(url, "/health") is None:
            raise JobFailed(f"the API at {url} went away before it was ready: look at what it said")
        if not announced:
            announced = True
            print(f"the API at {url} is not ready yet: waiting for it", file=sys.stderr, flush=True)
        time.sleep(_POLL_SECONDS)


def _wait_for_child(url: str, child: subprocess.Popen[bytes]) -> None:
    while _status(url, "/ready") != 200:
        if (code := child.poll()) is not None:
            raise JobFailed(
                f"the API ended before it was ready (exit code {code}): what it said stands above"
            )
        time.sleep(_POLL_SECONDS)
