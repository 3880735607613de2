"""Middleware and exceptions over a small application: status, size, id, log line, key, origin."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from guarded_app import CHAT, JSON, chat, client, guarded_app, logged, refusal
from listening import listening
from starlette.testclient import TestClient

from serve.keys import ApiKey, Caller, KeyRing, digest_of
from serve.settings import ServeSettings


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    with client(guarded_app()) as ready:
        ready.post(CHAT, json=chat())
        yield ready


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    yield from logged()


@pytest.mark.parametrize(
    ("how", "status", "code", "after"),
    [
        ("full", 429, "rate_limit_exceeded", "1"),
        ("wrong", 400, None, None),
        ("failed", 503, "overloaded", "1"),
        ("unforeseen", 500, None, None),
        ("closed", 503, "overloaded", "1"),
        ("late", 504, "deadline_exceeded", None),
    ],
)
def test_every_exception_has_its_status(
    http: TestClient, how: str, status: int, code: str | None, after: str | None
) -> None:
    reply = http.get(f"/fails/{how}")
    assert refusal(reply, status)["code"] == code and reply.headers.get("retry-after") == after


def test_a_language_that_nobody_taught_and_a_model_that_is_not_there(http: TestClient) -> None:
    error = refusal(http.get("/fails/language"), 422, "messages")
    assert error["code"] == "language_not_taught" and "Burmese" in error["message"]
    assert refusal(http.get("/fails/model"), 404, "model")["code"] == "model_not_found"


def test_paths_and_methods_that_are_not_served(http: TestClient) -> None:
    assert refusal(http.get("/v2/mellon"), 404)["code"] == "not_found"
    reply = http.put(CHAT)
    assert refusal(reply, 405)["code"] == "method_not_allowed" and reply.headers["allow"] == "POST"


# Sizes --------------------------------------------------------------------------------------------------


async def ask_raw(app: Any, length: str | None, sizes: list[int]) -> tuple[int, int]:
    """Status, and how many of the body's chunks were read."""
    read, found = 0, [0]

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        more = read < len(sizes)
        return {"type": "http.request", "body": b" " * sizes[read - 1], "more_body": more}

    async def send(message: dict[str, Any]) -> None:
        found[0] = message.get("status", found[0])

    headers = [(b"content-type", b"application/json")]
    headers += [(b"content-length", length.encode())] if length is not None else []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": CHAT, "raw_path": CHAT.encode(), "query_string": b"", "root_path": "", "headers": headers,
    }  # fmt: skip
    await app(scope, receive, send)
    return found[0], read


@pytest.mark.parametrize("length", ["10000000", "9" * 5_000])
def test_a_large_body_is_refused_before_it_is_read(length: str) -> None:
    app = guarded_app()
    start = time.process_time()
    status, read = asyncio.run(ask_raw(app, length, [10_000_000]))
    assert (status, read) == (413, 0)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("length", [None, "none", "-5", "10"])
def test_a_body_of_untold_length_is_refused_when_it_passes_the_limit(length: str | None) -> None:
    status, read = asyncio.run(ask_raw(guarded_app(), length, [300_000] * 100))
    assert (status, read) == (413, 4)


def test_a_body_at_the_limit_passes() -> None:
    app = guarded_app(ServeSettings.model_validate({"limits": {"body_bytes": 100}}))
    body = json.dumps(chat()).encode()
    assert client(app).post(CHAT, content=body.ljust(100), headers=JSON).status_code == 200
    refusal(client(app).post(CHAT, content=body.ljust(101), headers=JSON), 413)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with listening(guarded_app(), log_level="critical", lifespan="off") as url:
        yield url


@pytest.mark.parametrize("with_length", [True, False])
def test_a_large_body_over_a_real_connection(address: str, with_length: bool) -> None:
    body = b" " * 10_000_000 if with_length else iter([b" " * 100_000] * 100)
    with httpx2.Client(base_url=address, trust_env=False) as http:
        http.post(CHAT, json=chat())
        start = time.process_time()
        refusal(http.post(CHAT, content=body, headers=JSON), 413)
        assert time.process_time() - start < 5
        assert http.post(CHAT, json=chat()).status_code == 200


def test_a_stream_that_fails_is_not_taken_for_a_whole_one(address: str) -> None:
    with httpx2.Client(base_url=address, trust_env=False) as http:
        assert http.get("/stream").text.endswith("data: [DONE]\n\n")
        with pytest.raises(httpx2.RemoteProtocolError):
            http.get("/stream?fail=true")


# Ids and log lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc-1._Z", "a" * 64])
def test_a_sane_id_is_kept(http: TestClient, given: str) -> None:
    assert http.get("/stream", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", 'a"b', "a\u00e9", "a{b}"])
def test_another_is_replaced(http: TestClient, given: str) -> None:
    reply = http.get("/stream", headers={b"x-request-id": given.encode("latin-1")})
    assert len(reply.headers["x-request-id"]) == 32


def test_each_request_has_its_line(http: TestClient, lines: list[dict[str, Any]]) -> None:
    reply = http.post(CHAT, json=chat("mellon"))
    (line,) = lines
    assert 0 <= line.pop("duration_seconds") < 5
    assert line == {
        "request_id": reply.headers["x-request-id"],
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "response_bytes": len(reply.content),
        "caller": "anonymous",
    }
    http.get("/fails/mellon")
    http.get("/mellon")
    assert [(x["path"], x["status"]) for x in lines[1:]] == [("/fails/{how}", 500), (None, 404)]
    assert "mellon" not in json.dumps(lines)


def test_prompts_are_logged_only_where_that_is_asked(lines: list[dict[str, Any]]) -> None:
    http = client(guarded_app(ServeSettings(log_prompts=True)))
    http.post(CHAT, json=chat("བོད"))
    assert lines[0]["prompt"] == "བོད"


def test_a_stream_passes_as_it_comes_and_a_failure_breaks_it_off(lines: list[dict[str, Any]]) -> None:
    http = client(guarded_app())
    whole = http.get("/stream")
    assert whole.content == 'data: {"text":"བོད"}\n\ndata: [DONE]\n\n'.encode()
    assert whole.headers["cache-control"] == "no-cache, no-transform" and whole.headers["x-request-id"]
    http.get("/stream?fail=true")
    assert "aborted" not in lines[0] and lines[1]["aborted"] is True and lines[1]["status"] == 200


def test_a_caller_that_goes_away_frees_the_place() -> None:
    app = guarded_app()

    async def go_away() -> None:
        async def receive() -> dict[str, Any]:
            raise asyncio.CancelledError

        async def send(message: dict[str, Any]) -> None:
            pass

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": CHAT, "query_string": b"", "root_path": "", "headers": [],
        }  # fmt: skip
        with pytest.raises(asyncio.CancelledError):
            await app(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(go_away())
    assert app.state.admission.open == 0


# Keys and places ----------------------------------------------------------------------------------------

KEY = "a-key-of-ada-lovelace"


def test_a_key_is_wanted_where_there_is_one(lines: list[dict[str, Any]]) -> None:
    http = client(guarded_app(ring=KeyRing([ApiKey(Caller("ada"), digest_of(KEY))])))
    for header in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {KEY}"}):
        reply = http.post(CHAT, json=chat(), headers=header)
        error = refusal(reply, 401)
        assert error["type"] == "authentication_error" and error["code"] == "invalid_api_key"
        assert reply.headers["www-authenticate"] == "Bearer"
    assert http.post(CHAT, json=chat(), headers={"authorization": f"bearer {KEY}"}).status_code == 200
    assert lines[-1]["caller"] == "ada" and KEY not in json.dumps(lines)


def test_a_key_s_bounds_hold() -> None:
    caller = Caller("ada", requests_per_minute=2)
    http = client(guarded_app(ring=KeyRing([ApiKey(caller, digest_of(KEY))]), clock=lambda: 0.0))
    key = {"authorization": f"Bearer {KEY}"}
    replies = [http.post(CHAT, json=chat(), headers=key) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert (
        refusal(replies[-1], 429)["type"] == "rate_limit_error" and replies[-1].headers["retry-after"] == "30"
    )


# Other pages --------------------------------------------------------------------------------------------


def preflight(settings: ServeSettings, origin: str) -> httpx2.Response:
    asking = {"origin": origin, "access-control-request-method": "POST"}
    return client(guarded_app(settings)).options(CHAT, headers=asking)


def test_other_pages_are_let_in_by_name_alone() -> None:
    closed = preflight(ServeSettings(), "https://a.example")
    assert "access-control-allow-origin" not in closed.headers and closed.status_code == 405
    settings = ServeSettings.model_validate({"http": {"cors_origins": ["https://a.example"]}})
    assert (
        preflight(settings, "https://a.example").headers["access-control-allow-origin"] == "https://a.example"
    )
    assert "access-control-allow-origin" not in preflight(settings, "https://b.example").headers
    refused = client(guarded_app(settings)).get("/fails/x", headers={"origin": "https://a.example"})
    assert refusal(refused, 500) and "x-request-id" in refused.headers
