"""The mixed load of ``soak.py``: what is asked, and whether the answer was one of those to be expected."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from http_load import Client, Reply, chat

Work = Callable[[Client], Reply]
BAD: tuple[Any, ...] = (
    b"{",
    b"[" * 5_000,
    chat("\u202e"),
    chat("Hello", model="gpt-9"),
    chat("Hello", temperature=9),
    chat("", messages=[]),
    chat("1" * 40_000),
    {"model": "llink", "messages": [{"role": "user", "content": "x"}] * 200},
)
SHARES = {
    "chat": 8,
    "turns": 2,
    "stream": 4,
    "leave": 2,
    "embeddings": 2,
    "detect": 2,
    "tokenize": 1,
    "models": 1,
    "bad": 2,
}
"""How often each kind comes, beside the others."""


class Load:
    """Draws one request after the other; the same ones for the same seed."""

    def __init__(self, questions: Any, seed: int) -> None:
        self._questions, self._random = questions, random.Random(seed)

    def draw(self) -> tuple[str, Work]:
        """A kind, and what is to be done."""
        kind = self._random.choices(list(SHARES), list(SHARES.values()))[0]
        text = self._questions.draw(1, self._random.choice(self._questions.codes))[0]
        foreign = text.partition("\n")[2]
        length = self._random.randint(4, 24)
        bad = self._random.choice(BAD)
        said = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "A house."},
            {"role": "user", "content": f"And this?\n{foreign}"},
        ]
        works: dict[str, Work] = {
            "chat": lambda client: client.chat(text, max_tokens=length),
            "turns": lambda client: client.chat("", messages=said, max_tokens=length),
            "stream": lambda client: client.stream(text, max_tokens=length),
            "leave": lambda client: client.stream(text, events=2, max_tokens=64),
            "embeddings": lambda client: client.post(
                "/v1/embeddings", {"model": "llink", "input": [foreign]}
            ),
            "detect": lambda client: client.post("/v1/detect", {"input": text}),
            "tokenize": lambda client: client.post("/v1/tokenize", {"model": "llink", "text": text}),
            "models": lambda client: client.get("/v1/models"),
            "bad": lambda client: client.post("/v1/chat/completions", bad),
        }
        return kind, works[kind]


def expected(kind: str, reply: Reply) -> bool:
    """Whether this is how it should be answered."""
    if kind == "bad":
        return reply.status in (400, 404) and set(reply.body) == {"error"}
    if kind == "stream" and reply.status == 200:
        return not any("error" in event for event in reply.body)
    return reply.status == 200
