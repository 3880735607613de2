"""How long it takes to refuse what is wrong."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

from http_load import Client, Reply, chat

CHAT = "/v1/chat/completions"
ROUNDS = 5


def _raw(content: str) -> bytes:
    """A question whose content is this JSON as it stands."""
    return json.dumps(chat("@@")).replace('"@@"', content).encode()


WRONG: dict[str, tuple[int, object]] = {
    "10 MB": (413, b" " * 10_000_000),
    "NUL": (400, _raw('"\\u0000"')),
    "half a surrogate pair": (400, _raw('"\\ud800"')),
    "direction override": (400, chat("\u202e")),
    "100 000 digits": (400, chat("1" * 100_000)),
    "10 000 messages": (400, chat("", messages=[{"role": "user", "content": "x"}] * 10_000)),
    "10 000 stop strings": (400, chat("Hello", stop=["x"] * 10_000)),
    "wrong type": (400, chat("Hello", temperature="warm")),
    "not JSON": (400, b"{"),
    "100 000 lists": (400, b"[" * 100_000),
    "unknown model": (404, chat("Hello", model="gpt-9")),
    "unknown language": (422, chat("Кто там?")),
}
"""Name -> the status that is right, and the body. Keys that expired have their test."""


def refusals(url: str) -> dict[str, float]:
    """Milliseconds to each refusal, medians; a connection each, since the service may close it.

    Raises:
        RuntimeError: something was not refused as it should be.
    """
    return {name: round(1e3 * statistics.median(_times(url, *wrong)), 1) for name, wrong in WRONG.items()}


def _times(url: str, status: int, body: object) -> list[float]:
    replies = [_once(url, lambda client: client.post(CHAT, body)) for _ in range(ROUNDS)]
    for reply in replies:
        if reply.status != status or set(reply.body) != {"error"}:
            raise RuntimeError(f"expected {status}, and it was {reply.status}: {str(reply.body)[:200]}")
    return [reply.seconds for reply in replies]


def _once(url: str, ask: Callable[[Client], Reply]) -> Reply:
    client = Client(url)
    try:
        return ask(client)
    finally:
        client.close()
