"""What stands before a body is read, and how it is read: the key, size, time, packing; HEAD, and slashes."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from guarded_app import chat, client, guarded_app
from listening import listening
from starlette.testclient import TestClient

from serve.keys import ApiKey, Caller, KeyRing, digest_of
from serve.settings import ServeSettings

CHAT = "/v1/chat/completions"
KEY = "a-key-of-ada-lovelace"
RING = KeyRing([ApiKey(Caller("ada"), digest_of(KEY))], admin=digest_of("the-admins-own-key"))
JSON = {"content-type": "application/json"}
SECONDS = 0.5


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    with client(guarded_app()) as ready:
        yield ready


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """With keys, and with little patience."""
    settings = ServeSettings.model_validate({"limits": {"body_seconds": SECONDS}})
    with listening(guarded_app(settings, RING), log_level="critical", lifespan="off") as url:
        yield url


def dripping(url: str, key: str, length: int = 50) -> tuple[int, dict[str, Any], float, bool]:
    """Status, error, seconds and whether the connection was closed, for a body that comes byte by byte."""
    parts = urlsplit(url)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=10)) as wire:
        start, received = time.monotonic(), b""
        wire.sendall(f"{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n".encode())
        wire.settimeout(0.05)
        for _ in range(length * 4):
            try:
                wire.sendall(b" ")
                received += (part := wire.recv(65_536))
            except TimeoutError:
                continue
            except OSError:
                break
            if not part or b"\r\n\r\n{" in received:
                break
        seconds = time.monotonic() - start
        wire.settimeout(0.3)
        try:
            closed = wire.recv(1) == b""
        except TimeoutError:
            closed = False
        except OSError:
            closed = True
    status, _, body = received.partition(b"\r\n\r\n")
    return int(status.split()[1]), json.loads(body)["error"], seconds, closed


def test_a_body_that_trickles_is_closed_with_408(address: str) -> None:
    status, error, seconds, closed = dripping(address, KEY)
    assert (status, error["code"], closed) == (408, "request_timeout", True)
    assert SECONDS <= seconds < SECONDS + 2 and "0.5 seconds" in error["message"]


def test_a_wrong_key_is_told_before_the_body_has_come(address: str) -> None:
    status, error, seconds, _ = dripping(address, "somebody-else")
    assert (status, error["code"]) == (401, "invalid_api_key") and seconds < SECONDS


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/admin/reload", "/v1/nowhere", "/nowhere"])
@pytest.mark.parametrize("header", [{"content-length": "10000000"}, {"content-encoding": "br"}, {}])
def test_without_a_key_no_body_is_looked_at(path: str, header: dict[str, str]) -> None:
    status, read = asyncio.run(statuses(guarded_app(ring=RING), path, header))
    assert (status, read) == (401, 0)


async def statuses(app: Any, path: str, headers: dict[str, str]) -> tuple[int, int]:
    """Status, and how often the body was asked for."""
    read, found = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        nonlocal found
        found = message.get("status", found)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    return found, read


def test_another_key_than_the_admin_s_does_not_open_the_admin_s_doors() -> None:
    http = client(guarded_app(ring=RING))
    for path in ("/admin/bundles", "/admin/nowhere"):
        assert http.get(path, headers={"authorization": f"Bearer {KEY}"}).status_code == 403
        assert http.get(path, headers={"authorization": "Bearer the-admins-own-key"}).status_code == 404
    prefixed = ServeSettings.model_validate({"http": {"root_path": "/llink"}})
    app = guarded_app(prefixed, RING)
    app.root_path = "/llink"
    for path in ("/llink/admin/bundles", "/admin/bundles"):
        assert client(app).get(path, headers={"authorization": f"Bearer {KEY}"}).status_code == 403
    assert client(app).get("/llink/stream", headers={"authorization": f"Bearer {KEY}"}).status_code == 200


# Packed -------------------------------------------------------------------------------------------------


def packed(body: bytes, encoding: str = "gzip") -> dict[str, Any]:
    return {"content": body, "headers": JSON | {"content-encoding": encoding}}


def test_a_gzip_body_is_read(http: TestClient) -> None:
    plain = json.dumps(chat("བོད་ཡིག" * 1_000)).encode()
    packed_body = gzip.compress(plain)
    assert len(packed_body) < len(plain) / 10
    halves = gzip.compress(plain[:500]) + gzip.compress(plain[500:])  # one after the other is gzip, too
    for body, encoding in (
        (packed_body, "gzip"),
        (packed_body, "X-GZIP"),
        (halves, "gzip"),
        (plain, "identity"),
    ):
        assert http.post(CHAT, **packed(body, encoding)).json() == {"turns": [["user", "བོད་ཡིག" * 1_000]]}


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (b"{}", "br", 415, "gzip"),
        (b"{}", "gzip, gzip", 415, "gzip"),
        (zlib.compress(b"{}"), "deflate", 415, "gzip"),
        (b"{}", "gzip", 400, "is not gzip"),
        (gzip.compress(b"{}" * 100)[:-9], "gzip", 400, "breaks off"),
        (gzip.compress(b" " * 50_000_000), "gzip", 413, "larger than"),
        (gzip.compress(b" " * 900_000) * 2, "gzip", 413, "larger than"),
    ],
)
def test_a_packed_body_that_is_not_read(
    http: TestClient, body: bytes, encoding: str, status: int, said: str
) -> None:
    start = time.process_time()
    reply = http.post(CHAT, **packed(body, encoding))
    assert reply.status_code == status and said in reply.json()["error"]["message"]
    assert (reply.headers.get("accept-encoding") == "gzip") == (status == 415)
    assert time.process_time() - start < 2


# HEAD and slashes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/stream", "/openapi.json", "/fails/wrong", "/nowhere", CHAT])
def test_head_is_get_without_the_body(http: TestClient, path: str) -> None:
    packed_body, head = http.get(path), http.head(path)
    assert head.content == b"" and head.status_code == packed_body.status_code
    own = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in packed_body.headers.items() if k not in own
    }


def test_what_may_be_asked_is_told_with_head(http: TestClient) -> None:
    assert http.put("/stream").headers["allow"] == "GET, HEAD"
    assert http.put(CHAT).headers["allow"] == "POST"


def test_head_over_a_real_connection(address: str) -> None:
    parts = urlsplit(address)
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=5)) as wire:
        asking = b"%b /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
        wire.sendall(asking % b"HEAD" + asking % b"HEAD")
        received = b""
        while received.count(b"\r\n\r\n") < 2:
            received += wire.recv(65_536)
    assert received.count(b"200 OK") == 2 and b"{" not in received and received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/stream/", f"{CHAT}/", "//evil.example/..", "/openapi.json/"])
def test_a_slash_too_many_leads_nowhere_else(http: TestClient, method: str, path: str) -> None:
    reply = http.request(method, path, headers={"host": "evil.example"}, follow_redirects=False)
    assert reply.status_code == 404 and "location" not in reply.headers
    assert "evil" not in reply.text
