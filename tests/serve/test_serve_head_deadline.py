"""A connection whose request line and headers do not come is closed; everything else is left alone."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from listening import listening
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.importer import import_from_string

from serve import proxy
from serve.head_deadline import PROTOCOL, HeadDeadlineProtocol

SECONDS = 0.5
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"


async def patient(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body, thinks for longer than a head may take, and answers."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(2 * SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(HeadDeadlineProtocol, "seconds", SECONDS)
    with listening(patient, lifespan="off", log_level="critical", http=HeadDeadlineProtocol) as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as opened:
            yield opened


def read_to_the_end(wire: socket.socket) -> bytes:
    received = b""
    while part := wire.recv(4_096):
        received += part
    return received


def is_refusal(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    return head.startswith(b"HTTP/1.1 408") and b"connection: close" in head and "0.5 s" in error["message"]


@pytest.mark.parametrize("sent", [b"", b"GET", GET])
def test_a_head_that_does_not_come(wire: socket.socket, sent: bytes) -> None:
    started = time.monotonic()
    wire.sendall(sent)
    assert is_refusal(read_to_the_end(wire))
    assert time.monotonic() - started > 0.9 * SECONDS


def test_a_letter_now_and_then_is_not_in_time(wire: socket.socket) -> None:
    wire.sendall(GET)
    with pytest.raises(OSError):
        for _ in range(40):
            wire.sendall(b"x")
            time.sleep(SECONDS / 5)
        raise AssertionError("still open")


def test_the_second_head_of_a_connection(wire: socket.socket) -> None:
    wire.sendall(GET + b"\r\n")
    assert wire.recv(4_096).startswith(b"HTTP/1.1 200")
    wire.sendall(GET)
    answer = read_to_the_end(wire)
    assert is_refusal(answer[answer.index(b"HTTP/1.1 408") :])


def test_slow_bodies_and_slow_answers_are_not_its_matter(wire: socket.socket) -> None:
    for _ in range(2):
        wire.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n")
        for letter in b"abc":
            time.sleep(SECONDS / 2)
            wire.sendall(bytes([letter]))
        answer = b""
        while not answer.endswith(b"ok"):
            answer += (part := wire.recv(4_096))
            assert part, answer
        assert answer.startswith(b"HTTP/1.1 200")


def test_the_proxy_speaks_this_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
    proxy.middlewares()
    assert import_from_string(HTTP_PROTOCOLS["auto"]) is HeadDeadlineProtocol
    assert HTTP_PROTOCOLS["auto"] == PROTOCOL
