"""Bring the API up where it isn't: ``python -m serve`` as a child, ended by its pid when the chat ends."""

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

_END_SECONDS, _PAUSE = 60.0, 0.5


def answers(url: str) -> bool:
    """Whether the service is ready there."""
    return _status(url, "/ready") == 200


def _status(url: str, path: str) -> int | None:
    """None where nobody speaks HTTP."""
    try:
        return int(httpx2.get(f"{url}{path}", timeout=5, trust_env=False).status_code)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return None


@contextmanager
def running(url: str, *arguments: str) -> Iterator[None]:
    """The service answers at ``url`` inside this block; one that answers already is left alone.

    ``arguments`` go to ``python -m serve``, whose own words go to stderr; it gives up by itself where it does
    not become ready, so teaching languages first may take as long as it takes.

    Raises:
        LlinkError: it is not up and cannot be started from here.
        JobFailed: it came to an end.
    """
    base = url.rstrip("/").removesuffix("/v1")
    if _status(base, "/health") is not None:
        _wait(None, base)
        yield
        return
    command = [sys.executable, "-m", "serve", *_address(base), *arguments]
    print(f"no API at {base} yet: starting it, which takes a minute", file=sys.stderr, flush=True)
    # A session of its own: Ctrl-C reaches the chat alone, which then ends it in order.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        _wait(child, base)
        yield
    finally:
        _end(child)


def _address(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or parts.path or not is_loopback(host):
        raise LlinkError(
            f"the API at {url} does not answer, and it is not this machine's to start: start it there, or "
            "name another with --api"
        )
    return "--host", "127.0.0.1" if host == "localhost" else host, "--port", str(parts.port or 80)


def _wait(child: subprocess.Popen[bytes] | None, url: str) -> None:
    """Until it is ready; ``child`` is None where somebody else started it."""
    told = False
    while not answers(url):
        if child is None and _status(url, "/health") is None:
            raise JobFailed(f"the API at {url} went away before it was ready: look at what it said")
        if child is None and not told:
            told = True
            print(f"the API at {url} is not ready yet: waiting for it", file=sys.stderr, flush=True)
        if child is not None and (code := child.poll()) is not None:
            raise JobFailed(
                f"the API ended before it was ready (exit code {code}): what it said stands above"
            )
        time.sleep(_PAUSE)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
