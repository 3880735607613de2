from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from judge_server import KEY, Respond, Server, answer_pair

from llink_ray.evaluation.judge import AnswerPair


@pytest.fixture
def serve() -> Iterator[Callable[[Respond], Server]]:
    running: list[Server] = []

    def start(respond: Respond) -> Server:
        running.append(Server(respond))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Seconds of waiting are no part of what is tested.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


@pytest.fixture
def pairs() -> list[AnswerPair]:
    """Eight, of which A gives the good answer in six."""
    return [
        answer_pair("good a", "poor b", i) if i < 6 else answer_pair("poor a", "good b", i) for i in range(8)
    ]
