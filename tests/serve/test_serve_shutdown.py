"""The service is told to stop while it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serve_load import body, until
from serve_zoo import Running, up
from steered_engine import endless

CHAT = "/v1/chat/completions"


@pytest.fixture
def talker(registry: Path) -> Iterator[Running]:
    """Its answers come to no end by themselves."""
    with up(registry) as made, endless(made.engine):
        yield made


def drain(api: Running, seconds: float) -> Future[None]:
    """In the loop that the requests run in."""
    loops: list[asyncio.AbstractEventLoop] = []
    catalog, refresh = api.service.catalog, api.service.catalog.refresh

    async def recorded() -> None:
        loops.append(asyncio.get_running_loop())
        await refresh()

    catalog.refresh = recorded  # type: ignore[method-assign]
    until(lambda: bool(loops), "a look at the registry")
    return asyncio.run_coroutine_threadsafe(api.service.shutdown.drain(seconds), loops[0])


def ask(api: Running, **more: Any) -> httpx2.Response:
    return httpx2.post(f"{api.url}{CHAT}", json=body(max_tokens=500, **more), timeout=30)


def test_streams_end_with_an_error_event_and_whole_answers_with_503(talker: Running) -> None:
    with ThreadPoolExecutor(4) as pool:
        streams = [pool.submit(ask, talker, stream=True) for _ in range(2)]
        whole = pool.submit(ask, talker)
        until(lambda: talker.engine.snapshot().running == 3, "three that run")
        ending = drain(talker, 0.5)
        until(lambda: talker.service.shutdown.started, "the end begins")
        late = ask(talker)
        for response in (late, whole.result()):
            assert response.status_code == 503 and response.json()["error"]["code"] == "stopping"
            assert response.headers["retry-after"] == "5"
        for stream in streams:
            *events, last = [line for line in stream.result().text.split("\n") if line]
            assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stopping"
            assert len(events) > 2 and "[DONE]" not in stream.result().text
        ending.result(5)
    until(lambda: talker.engine.snapshot().running == 0, "an empty batch")


def test_what_ends_in_time_ends_as_ever(registry: Path) -> None:
    with up(registry) as api, ThreadPoolExecutor(2) as pool:
        request = pool.submit(ask, api, stream=True)
        until(lambda: api.service.shutdown.in_flight == 1, "one under way")
        drain(api, 20.0).result(10)  # which is not waited for where nothing is under way
        assert request.result().text.endswith("data: [DONE]\n\n")
