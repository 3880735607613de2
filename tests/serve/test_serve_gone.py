"""Callers that hang up, and answers that end otherwise than they should: stops, errors, deadlines."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from serve_load import LONG, body, chat, said, until
from serve_zoo import BO, Running, up
from steered_engine import endless, held, paced

_MARK = "zebra-7319"


@pytest.fixture(scope="module")
def small(registry: Path) -> Iterator[Running]:
    """An API with little room."""
    with up(
        registry, "engine.rows=2", "engine.waiting=2", "limits.seconds=3", "limits.in_flight=6"
    ) as running_api:
        yield running_api


@pytest.fixture(scope="module")
def talker(registry: Path) -> Iterator[Running]:
    """An API whose answers come to no end by themselves."""
    with up(registry) as running_api, endless(running_api.engine):
        yield running_api


def hang_up(url: str, request_body: dict[str, Any], events: int) -> None:
    """Ask, read so many events, and close the connection without a word."""
    data = json.dumps(request_body).encode()
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with closing(socket.create_connection((host, port), timeout=30)) as wire:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        wire.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        received = b""
        while received.count(b"data: ") < events:
            part = wire.recv(65_536)
            assert part, received
            received += part


def client_of(api: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0)


def running(api: Running) -> int:
    now = api.engine.snapshot()
    return int(now.running + now.waiting)


def open_requests(api: Running) -> float:
    return float(api.service.metrics.in_flight._value.get())


def outcomes(api: Running, outcome: str) -> float:
    samples = [sample for metric in api.service.metrics.requests.collect() for sample in metric.samples]
    return sum(s.value for s in samples if s.name.endswith("_total") and s.labels["outcome"] == outcome)


@pytest.mark.parametrize(("stream", "events"), [(True, 1), (True, 6), (False, 0)])
def test_who_hangs_up_frees_the_place_within_a_token(talker: Running, stream: bool, events: int) -> None:
    engine = talker.engine
    with paced(engine, 0.1):
        before, running_api = engine.snapshot(), outcomes(talker, "cancelled")
        if stream:
            hang_up(talker.url, body(stream=True, **LONG), events)
        else:
            with pytest.raises(httpx2.TimeoutException):
                httpx2.post(f"{talker.url}/v1/chat/completions", json=body(**LONG), timeout=0.45)
        tokens = engine.snapshot().tokens
        until(lambda: engine.snapshot().cancels == before.cancels + 1, "the cancel", 2)
        assert engine.snapshot().tokens - tokens <= 2  # the one that was on its way, and one
    until(lambda: running(talker) == 0, "an empty batch", 2)
    until(lambda: open_requests(talker) == 0, "the place given back", 2)
    assert outcomes(talker, "cancelled") == running_api + 1


def test_who_hangs_up_before_the_first_token_leaves_nothing_behind(api: Running) -> None:
    engine = api.engine
    before = engine.snapshot().cancels
    with held(engine):
        for _ in range(3):
            with pytest.raises(httpx2.TimeoutException):
                httpx2.post(f"{api.url}/v1/chat/completions", json=body(stream=True), timeout=0.3)
        until(lambda: open_requests(api) == 0, "the places given back", 5)
    until(lambda: engine.snapshot().cancels == before + 3 and running(api) == 0, "an empty batch", 5)


def test_a_client_that_closes_its_stream_early(talker: Running) -> None:
    before = talker.engine.snapshot().cancels
    with client_of(talker) as client, paced(talker.engine, 0.05):
        with client.chat.completions.create(**body(**LONG), stream=True) as chunks:
            for _ in zip(range(4), chunks, strict=False):
                continue
        until(lambda: talker.engine.snapshot().cancels == before + 1, "the cancel", 2)
    until(lambda: running(talker) == 0 and open_requests(talker) == 0, "an empty batch", 2)


def test_stop_strings_across_chunk_borders(talker: Running) -> None:
    request_body = LONG | {"max_tokens": 40}
    parts = [part for part in streamed(talker, **request_body) if part]
    text = "".join(parts)
    borders = [sum(map(len, parts[:n])) for n in range(2, len(parts), 5)]
    tried = 0
    for border in borders:
        stop = text[border - 2 : border + 2]
        if not stop.strip() or text.index(stop) != border - 2:
            continue
        tried += 1
        whole = chat(talker.url, stop=[stop], **request_body)
        assert (
            "".join(streamed(talker, stop=[stop], **request_body))
            == said(whole)
            == text[: border - 2].strip()
        )
        assert whole["choices"][0]["finish_reason"] == "stop"
    assert tried >= 3


def streamed(api: Running, **more: Any) -> list[str]:
    with client_of(api) as client:
        chunks = list(client.chat.completions.create(**body(stream=True, **more)))
    return [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]


def test_a_deadline_is_504_and_in_mid_stream_an_event(small: Running) -> None:
    with paced(small.engine, 0.25), endless(small.engine):
        with ThreadPoolExecutor(2) as pool:
            url = f"{small.url}/v1/chat/completions"
            whole = pool.submit(httpx2.post, url, json=body(**LONG), timeout=20)
            stream = pool.submit(httpx2.post, url, json=body(stream=True, **LONG), timeout=20)
        assert whole.result().status_code == 504
        assert whole.result().json()["error"]["code"] == "deadline_exceeded"
        assert stream.result().status_code == 200
        *texts, last = [line for line in stream.result().text.split("\n") if line]
        assert len(texts) > 3 and "[DONE]" not in stream.result().text
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
    until(lambda: running(small) == 0 and open_requests(small) == 0, "an empty batch", 2)
    with held(small.engine):  # even where the decoder says nothing any more
        assert httpx2.post(url, json=body(stream=True), timeout=20).status_code == 504


def test_a_full_queue_is_429(small: Running) -> None:
    url = f"{small.url}/v1/chat/completions"
    with ThreadPoolExecutor(6) as pool, held(small.engine) as release:
        first = [pool.submit(httpx2.post, url, json=body(), timeout=30) for _ in range(2)]
        until(lambda: running(small) == 2, "two that wait")
        full = httpx2.post(url, json=body())
        assert full.status_code == 429 and full.json()["error"]["type"] == "rate_limit_error"
        assert int(full.headers["retry-after"]) >= 1
        with client_of(small) as client, pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**body(stream=True))
        release()
        assert [one.result().status_code for one in first] == [200, 200]


def test_a_full_house_is_503(registry: Path) -> None:
    with up(registry, "limits.in_flight=1") as running_api:
        with ThreadPoolExecutor(1) as pool, held(running_api.engine) as release:
            first = pool.submit(chat, running_api.url)
            until(lambda: running(running_api) == 1, "one that runs")
            refused = httpx2.post(f"{running_api.url}/v1/chat/completions", json=body())
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
            assert httpx2.get(f"{running_api.url}/health").status_code == 200
            release()
            first.result(30)
        assert said(chat(running_api.url)) is not None


def test_a_decoder_that_stops_in_mid_stream_is_an_error_event(registry: Path) -> None:
    with up(registry) as running_api:
        url, engine = f"{running_api.url}/v1/chat/completions", running_api.engine
        with ThreadPoolExecutor(2) as pool, paced(engine, 0.05), endless(engine):
            whole = pool.submit(httpx2.post, url, json=body(**LONG), timeout=30)
            stream = pool.submit(httpx2.post, url, json=body(stream=True, **LONG), timeout=30)
            until(lambda: engine.snapshot().tokens > 10, "tokens")
            engine.stop()
        *_, last = [line for line in stream.result().text.split("\n") if line]
        assert stream.result().status_code == 200 and "[DONE]" not in stream.result().text
        assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
        with client_of(running_api) as client, pytest.raises(openai.APIStatusError):
            client.chat.completions.create(**body())
        assert whole.result().status_code == 503
        with pytest.raises(RuntimeError):
            running_api.decoder_server.check_health()  # so that Serve replaces it
        assert open_requests(running_api) == 0


@pytest.mark.parametrize("shown", [False, True])
def test_no_line_of_any_log_shows_a_prompt_or_a_key(
    registry: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    shown: bool,
) -> None:
    key, admin = "key-of-ada-9f8e7d6c5b", "key-of-admins-1a2b3c4d5e"
    monkeypatch.setenv("LLINK_API_KEYS", f"ada:{key}")
    monkeypatch.setenv("LLINK_ADMIN_KEY", admin)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("llink_ray.serve.access").addHandler(caplog.handler)
    try:
        with up(registry, f"log_prompts={str(shown).lower()}") as running_api:
            ask(running_api, key, admin)
    finally:
        logging.getLogger("llink_ray.serve.access").removeHandler(caplog.handler)
    output = capfd.readouterr()
    log_text = caplog.text + output.out + output.err
    assert "ada" in log_text, "there is something to look at"
    for secret in (key, admin, "wrong-key-of-nobody-11"):
        assert secret not in log_text
    assert (_MARK in log_text) == shown
    assert "NUL" not in log_text


def ask(running_api: Running, key: str, admin: str) -> None:
    """In every way that is answered, refused or fails."""
    url, headers = f"{running_api.url}/v1/chat/completions", {"authorization": f"Bearer {key}"}
    prompt = f"Who is {_MARK}?\n{BO}"
    for more in ({}, {"stream": True}, {"model": "nobody"}, {"max_tokens": 99_999}, {"n": 3}):
        httpx2.post(url, json=body(prompt, **more), headers=headers, timeout=30)
    httpx2.post(url, json=body(f"\0 {_MARK}"), headers=headers)
    httpx2.post(url, json=body(f"Кто {_MARK}?"), headers=headers)
    httpx2.post(url, content=f'{{"model": "{_MARK}", '.encode(), headers=headers)
    httpx2.post(url, json=body(prompt), headers={"authorization": "Bearer wrong-key-of-nobody-11"})
    httpx2.post(f"{running_api.url}/v1/embeddings", json={"model": "llink", "input": _MARK}, headers=headers)
    httpx2.post(f"{running_api.url}/v1/detect", json={"input": _MARK}, headers=headers)
    httpx2.get(f"{running_api.url}/admin/bundles", headers={"authorization": f"Bearer {admin}"})
    httpx2.get(f"{running_api.url}/admin/bundles", headers=headers)
    running_api.engine.stop()
    httpx2.post(url, json=body(prompt), headers=headers)
    backend: Any = running_api.service.backend
    backend.encoder_servers = {}  # a defect of ours: logged in full, and still without the prompt
    assert httpx2.post(url, json=body(prompt), headers=headers).status_code == 500
    time.sleep(0.1)
