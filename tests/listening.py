"""An ASGI application on a free loopback port, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


def free_port() -> int:
    """Of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(
    app: Any, ready: Callable[[], bool] | None = None, at_once: bool = False, **config: Any
) -> Iterator[str]:
    """Its address, once it listens, and ``ready`` says so where that takes more.

    With ``at_once`` the end waits for no answer that is on its way.
    """
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, **{"log_level": "warning", **config})
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not (server.started and (ready is None or ready())):
            assert time.monotonic() < deadline, "not ready after a minute"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit, server.force_exit = True, at_once
        thread.join(30)
