"""Clients that cost little beside the service they ask: a connection each, kept open, in a thread each."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """What came back, and when."""

    status: int
    body: Any
    """JSON; of a stream, the events."""
    seconds: float
    first: float = 0.0
    """Seconds to the first text of a stream."""


class Client:
    """Asks over one connection."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)

    def get(self, path: str) -> Reply:
        """A page."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Any) -> Reply:
        """A request; ``bytes`` go as they are."""
        return self._ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())

    def chat(self, content: str, **more: Any) -> Reply:
        """One question."""
        return self.post("/v1/chat/completions", chat(content, **more))

    def stream(self, content: str, events: int | None = None, **more: Any) -> Reply:
        """One question, answered as it comes; after so many ``events`` the client goes away."""
        begun = time.perf_counter()
        body = json.dumps(chat(content, stream=True, **more)).encode()
        self._connection.request("POST", "/v1/chat/completions", body, JSON)
        response = self._connection.getresponse()
        found: list[Any] = []
        first = 0.0
        try:
            if response.status != 200:
                return Reply(response.status, json.loads(response.read()), time.perf_counter() - begun)
            while line := response.readline():
                if not line.startswith(b"data: {"):
                    continue
                found.append(json.loads(line[6:]))
                if not first and _text(found[-1]):
                    first = time.perf_counter() - begun
                if events is not None and len(found) >= events:
                    self.close()
                    break
            else:
                response.read()  # nothing more, which frees the connection
        except BaseException:
            self.close()
            raise
        return Reply(200, found, time.perf_counter() - begun, first)

    def close(self) -> None:
        """Go away; the next question opens a connection anew."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        begun = time.perf_counter()
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it said no before it had read all
                self._connection.request(method, path, body, JSON if body is not None else {})
            response = self._connection.getresponse()
            told = response.read()
        except BaseException:
            self.close()
            raise
        seconds = time.perf_counter() - begun
        is_json = "json" in (response.headers["content-type"] or "")
        return Reply(response.status, json.loads(told) if is_json else told.decode(), seconds)


def chat(content: str, model: str = "llink", max_tokens: int = 10, **more: Any) -> dict[str, Any]:
    """The body of a question."""
    messages = more.pop("messages", [{"role": "user", "content": content}])
    return {"model": model, "max_tokens": max_tokens, "messages": messages, **more}


def _text(event: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


def together(
    clients: Sequence[Client], questions: Sequence[T], ask: Callable[[Client, T], Reply]
) -> list[Reply]:
    """All questions, each client asking the next one when it has its answer."""
    waiting = iter(questions)

    def work(client: Client) -> list[Reply]:
        return [ask(client, question) for question in waiting]  # a list's iterator is safe among threads

    with ThreadPoolExecutor(len(clients)) as pool:
        return [reply for replies in pool.map(work, clients) for reply in replies]
