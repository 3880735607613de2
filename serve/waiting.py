"""What a start is waiting for, told while it lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_LOOK_SECONDS = 1.0
_SILENCE_SECONDS = 15.0
"""The longest that nothing is said."""


@contextmanager
def telling(application: str, say: Callable[[str], None]) -> Iterator[None]:
    """While the block lasts: which deployments do not run yet, when that changes and every now and then."""
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(application, say, ended), daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join(_LOOK_SECONDS)


def _tell(application: str, say: Callable[[str], None], ended: threading.Event) -> None:
    begun = last = time.monotonic()
    told = ""
    while not ended.wait(_LOOK_SECONDS):
        with suppress(Exception):  # nothing depends on it: Ray may be ending meanwhile
            now, waits_for = time.monotonic(), _waits_for(application)
            if ended.is_set() or (waits_for == told and now - last < _SILENCE_SECONDS):
                continue
            say(f"waiting for {waits_for} ({now - begun:.0f} s)")
            told, last = waits_for, now


def _waits_for(application: str) -> str:
    from ray import serve

    found = serve.status().applications.get(application)
    if found is None or not found.deployments:
        return "Ray Serve"
    starting = [name for name, one in found.deployments.items() if one.status != "HEALTHY"]
    return ", ".join(starting) if starting else "the bundles"
