from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from judge_server import KEY, Respond, Server, contest

from llink_ray.evaluation.judge import Contest


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
def contests() -> list[Contest]:
    """Eight, of which A gives the good answer in six."""
    return [contest("good a", "poor b", i) if i < 6 else contest("poor a", "good b", i) for i in range(8)]
