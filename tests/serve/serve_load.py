"""Requests that go on while something is changed or killed, and bundles to change to."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from serve_zoo import BO

from llink_ray.bundles.manifest import INDEX, parse_info

ADMIN = "the-admins-key-of-the-tests"
ADMINS = {"authorization": f"Bearer {ADMIN}"}


def body(content: str = f"Who?\n{BO}", **more: Any) -> dict[str, Any]:
    """A chat."""
    request_body = {"model": "llink", "max_tokens": 8, "messages": [{"role": "user", "content": content}]}
    return request_body | more


def chat(url: str, content: str = f"Who?\n{BO}", **more: Any) -> Any:
    """An answer, as JSON; it has to be one."""
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body(content, **more), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def said(payload: Any) -> str:
    """What a chat says."""
    text: str = payload["choices"][0]["message"]["content"]
    return text


def version_of(payload: Any, code: str = "bo") -> str:
    """The bundle that a chat was answered with."""
    version: str = payload["llink"]["bundles"][code]["version"]
    return version


def serving(url: str, code: str) -> str | None:
    """The version that answers for a language now."""
    answer = httpx2.get(f"{url}/v1/models/llink:{code}")
    return str(answer.json()["llink"]["version"]) if answer.status_code == 200 else None


def until(true: Callable[[], bool], what: str, seconds: float = 20.0) -> float:
    """Wait for it; how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"{what}: not within {seconds:g} seconds"
        time.sleep(0.02)
    return time.monotonic() - begun


def resealed(source: Path, folder: Path, **changes: Any) -> Path:
    """The same bundle with another record, whole."""
    shutil.copytree(source, folder)
    info = parse_info((folder / INDEX).read_text("utf-8"), str(folder))
    info = info.model_copy(update=changes)
    (folder / INDEX).write_text(info.sealed(info.files).to_json(), encoding="utf-8")
    return folder


LONG: dict[str, Any] = {"temperature": 1.5, "seed": 1, "max_tokens": 120}
"""A chat that goes on for as many tokens, where answers are ``endless``."""


@dataclass
class LoadGenerator:
    """Clients that ask again and again, some of them for streams, and what came of it."""

    url: str
    clients: int = 4
    streams: int = 1
    """How many of them want streams."""
    more: dict[str, Any] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of whole answers: ``200``, or what was told instead."""
    endings: Counter[str] = field(default_factory=Counter)
    """Of streams: ``[DONE]``, or the last that came."""
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(version, text)."""
    slowest: float = 0.0

    @contextmanager
    def running(self) -> Iterator[LoadGenerator]:
        """They ask meanwhile."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._ask, args=(stop, n < self.streams)) for n in range(self.clients)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join(120)
        assert not any(thread.is_alive() for thread in threads), "a request hangs"

    def _ask(self, stop: threading.Event, stream: bool) -> None:
        with httpx2.Client(timeout=90) as client:
            while not stop.is_set():
                begun = time.monotonic()
                try:
                    self._one(client, stream)
                except httpx2.HTTPError as error:
                    (self.endings if stream else self.outcomes)[repr(error)[:80]] += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)

    def _one(self, client: httpx2.Client, stream: bool) -> None:
        request_body = body(**self.more | {"stream": stream})
        answer = client.post(f"{self.url}/v1/chat/completions", json=request_body)
        if stream:
            payload = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
            self.endings[payload[-1] if answer.status_code == 200 else answer.text] += 1
        elif answer.status_code == 200:
            self.outcomes["200"] += 1
            self.answers[version_of(answer.json()), said(answer.json())] += 1
        else:
            self.outcomes[f"{answer.status_code} {answer.text[:200]}"] += 1
