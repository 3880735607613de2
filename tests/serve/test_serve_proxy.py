"""What stands before Ray's proxy, with Ray's own middleware and server around a small application."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import guarded_app as app_module
import pytest
from guarded_app import chat, guarded_app
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from listening import listening
from ray.serve._private.http_util import (
    _apply_middlewares,
    convert_object_to_asgi_messages,
    validate_http_proxy_callback_return,
)
from ray.serve._private.utils import call_function_from_import_path
from serve_load import until
from uvicorn.config import HTTP_PROTOCOLS

from serve import proxy
from serve.settings import ServeSettings

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Served as Ray's proxy serves: the middleware that it is told of, then its own, then the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
        found = validate_http_proxy_callback_return(call_function_from_import_path(proxy.PATH))
        pages = ServeSettings.model_validate({"http": {"cors_origins": ["https://a.example"]}})
        app = _apply_middlewares(guarded_app(pages, send_id=False), found)
        with listening(app, log_level="critical", lifespan="off") as url:
            yield url


def exchange(url: str, *pieces: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an answer to bytes that are sent one piece after the other."""
    parts = urlsplit(url)
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=10)) as wire:
        wire.settimeout(10)
        for piece in pieces:
            wire.sendall(piece)
        received = b""
        while b"\r\n\r\n" not in received:
            received += (part := wire.recv(65_536))
            assert part, received
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int(dict(headers).get("content-length", 0))
        while len(body) < length and not pieces[0].startswith(b"HEAD") and (part := wire.recv(65_536)):
            body += part
    return int(first.split()[1]), headers, body


def request(method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    lines = [b"host: x", *(name + b": " + value for name, value in headers)]
    lines += [b"content-type: application/json", b"content-length: %d" % len(body)] if body else []
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *lines, b"", body])


UPGRADE = [
    (b"connection", b"Upgrade, HTTP2-Settings"),
    (b"upgrade", b"h2c"),
    (b"http2-settings", b"AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("offer", [UPGRADE, [(b"connection", b"upgrade"), (b"upgrade", b"TLS/1.0")]])
def test_an_offer_to_speak_another_protocol_is_passed_over(
    address: str, apart: bool, offer: list[tuple[bytes, bytes]]
) -> None:
    body = json.dumps(chat("བོད")).encode()
    whole = request("POST", CHAT, offer, body)
    pieces = (whole[: -len(body)], body) if apart else (whole,)
    status, headers, payload = exchange(address, *pieces)
    assert (status, json.loads(payload)) == (200, {"turns": [["user", "བོད"]]})
    assert "upgrade" not in dict(headers)


# Ids and orders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/stream", "/fails/x", "/nowhere", CHAT, "/fails/wrong"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [([], False), ([b"abc-1"], True), ([b"abc-1", b"def"], True), ([b"a b"], False), ([b"x" * 999], False)],
)
def test_an_answer_has_one_id(address: str, path: str, given: list[bytes], kept: bool) -> None:
    _, headers, _ = exchange(address, request("GET", path, [(b"X-Request-ID", one) for one in given]))
    (found,) = [value for name, value in headers if name == "x-request-id"]
    assert (found == "abc-1") if kept else (len(found) == 32)


def test_the_log_has_the_same_id(address: str) -> None:
    logged = app_module.logged()
    lines = next(logged)
    for asked_for in (b"abc-2", b"a b", b"\xe9"):
        _, headers, _ = exchange(address, request("GET", "/stream", [(b"x-request-id", asked_for)]))
        until(lambda: bool(lines), "the line", 5)  # it is written when all has been sent
        assert lines.pop()["request_id"] == dict(headers)["x-request-id"]
    logged.close()


NAMES = [
    b"x-request-id", b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"x-session-id",
    b"serve_multiplexed_model_id", b"serve-multiplexed-model-id", b"authorization", b"content-type",
    b"accept", b"accept-encoding", b"origin", b"access-control-request-method", b"cookie", b"range", b"te",
    b"via", b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"x-forwarded-proto", b"if-none-match",
    b"expect", b"connection", b"upgrade", b"traceparent", b"x-http-method-override", b"content-encoding",
    b"retry-after",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        [b"", b"0", b"-1", b"1e-9", b"nan", b"?1", b"a b", b"*/*", b"h2c", b"gzip", b"keep-alive"]
    ),
    st.binary(max_size=40).map(lambda raw: bytes(c for c in raw if c > 31 and c != 127).strip()),
)
ROUTES = [
    "/stream",
    "/fails/wrong",
    "/fails/x",
    "/openapi.json",
    CHAT,
    "/v1/embeddings",
    "/",
    "//",
    "/stream/",
]


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"]),
    path=st.sampled_from(ROUTES),
    headers=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6),
)
def test_no_answer_has_a_header_twice(
    address: str, method: str, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    headers = [(name, value) for name, value in headers if (name, value) != (b"upgrade", b"websocket")]
    body = json.dumps(chat()).encode() if method in ("POST", "PUT") else b""
    status, found, payload = exchange(address, request(method, path, headers, body))
    duplicates = [name for name, times in Counter(name for name, _ in found).items() if times > 1]
    assert duplicates == [], found
    assert status < 500 or path == "/fails/x", payload
    if status >= 400 and payload:
        assert dict(found)["content-type"] == "application/json" and "error" in json.loads(payload)


# What Ray says by itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, "invalid_request_error", "not_found"),
        (408, "invalid_request_error", "request_timeout"),
        (429, "server_error", "overloaded"),
        (503, "server_error", "overloaded"),
        (500, "server_error", None),
    ],
)
def test_what_ray_refuses_has_our_shape(status: int, kind: str, code: str | None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in convert_object_to_asgi_messages("at 0x7f, in /srv/app.py", status):
            await send(message)

    payload, body = asyncio.run(call_app(app))
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == (kind, code) and "/srv" not in body
    assert payload == {429: 503}.get(status, status)


def test_what_fails_in_ray_itself_is_told_in_our_shape() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "secret")

    status, body = asyncio.run(call_app(app))
    assert status == 500 and "secret" not in body and json.loads(body)["error"]["type"] == "server_error"


def test_a_request_that_ray_leaves_without_an_answer_may_be_asked_again() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    status, body = asyncio.run(call_app(app))
    assert status == 503 and json.loads(body)["error"]["code"] == "overloaded"


async def call_app(app: Any) -> tuple[int, str]:
    """What the application answers behind the front, by status and body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await proxy.ProxyMiddleware(_apply_middlewares(app, []))(scope, receive, send)
    ids = [value for name, value in sent[0]["headers"] if name == b"x-request-id"]
    assert len(ids) == 1
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]).decode()
