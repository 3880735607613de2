"""What nobody honest sends, over real HTTP: the right refusal, at once, in one shape, and no harm done."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from serve_zoo import BO, Running, up

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
SECONDS = 10.0
"""Generous: the benchmark tells the real figure, and machines that run tests are busy."""


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    body: Any
    headers: dict[str, str]
    seconds: float


def send(
    url: str, path: str, body: bytes, headers: dict[str, str | bytes] | None = None, method: str = "POST"
) -> Reply:
    """One request over a connection of its own; a server may answer before it has read all."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    start = time.perf_counter()
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it said no already
            connection.request(method, path, body, headers if headers is not None else dict(JSON))
        response = connection.getresponse()
        reply = response.read()
    finally:
        connection.close()
    seconds = time.perf_counter() - start
    found = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, json.loads(reply), found, seconds)


def chat(content: Any = BO, **fields: Any) -> bytes:
    """A question's bytes."""
    request_body = {"model": "llink", "messages": [{"role": "user", "content": content}], "max_tokens": 4}
    return json.dumps(request_body | fields).encode()


def with_content(raw: str) -> bytes:
    """A question whose content is this JSON, as it stands."""
    return chat("@@").replace(b'"@@"', raw.encode())


def refused(reply: Reply, status: int, param: str | None = None) -> str:
    """The sentence, after checking what holds of every refusal."""
    assert reply.status == status, reply.body
    assert set(reply.body) == {"error"} and set(reply.body["error"]) == {"message", "type", "param", "code"}
    assert len(reply.headers["x-request-id"]) >= 1
    assert reply.headers["content-type"] == "application/json"
    assert reply.seconds < SECONDS
    if param is not None:
        assert reply.body["error"]["param"] == param
    message: str = reply.body["error"]["message"]
    assert message and "Traceback" not in message and "\n" not in message
    return message


@pytest.fixture(autouse=True)
def answers_afterwards(api: Running) -> Iterator[None]:
    """Whatever was sent, the next one is answered."""
    yield
    reply = send(api.url, CHAT, chat(f"Who?\n{BO}"))
    assert reply.status == 200 and reply.body["choices"][0]["message"]["content"] is not None
    assert reply.body["llink"]["adapter"] == "bo"


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
MANY = chat(messages=[{"role": "user", "content": "x"}] * 10_000)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        pytest.param(b" " * 10_000_000, 413, None, id="10 MB of blanks"),
        pytest.param(chat("a" * 10_000_000), 413, None, id="10 MB of text"),
        pytest.param(chat("1" * 100_000), 400, "messages", id="100 000 digits"),
        pytest.param(chat("༡" * 100_000), 400, "messages", id="100 000 Tibetan digits"),
        pytest.param(b"\0" * 1_000, 400, None, id="NUL bytes"),
        pytest.param(chat("@").replace(b"@", b"\0"), 400, None, id="a NUL byte in a string"),
        pytest.param(with_content('"\\ud800"'), 400, "messages[0].content", id="first half of a pair"),
        pytest.param(with_content('"x\\udc00"'), 400, "messages[0].content", id="second half of a pair"),
        pytest.param(with_content('"\\udc00\\ud800"'), 400, "messages[0].content", id="a pair turned round"),
        pytest.param(chat("@").replace(b"@", b"\xed\xa0\x80"), 400, None, id="half a pair in UTF-8"),
        pytest.param(chat("@").replace(b"@", b"\xc0\x80"), 400, None, id="an overlong NUL"),
        pytest.param(MANY, 400, "messages", id="10 000 messages"),
        pytest.param(chat(messages=[]), 400, "messages", id="no messages"),
        pytest.param(chat(messages=[{}]), 400, None, id="an empty message"),
        pytest.param(chat(stop=["x"] * 10_000), 400, "stop", id="10 000 stop strings"),
        pytest.param(chat(stop="x" * 10_000), 400, "stop", id="a long stop string"),
        pytest.param(chat(stop=["\ud800"]), 400, "stop", id="half a letter to stop at"),
        pytest.param(chat(model="gpt-9"), 404, "model", id="an unknown model"),
        pytest.param(chat(model="llink:" + "x" * 200), 404, "model", id="an unknown language"),
        pytest.param(chat(model="llink:bo@../../etc/passwd"), 404, "model", id="a path for a version"),
        pytest.param(chat(model="\ud800"), 400, None, id="half a letter for a model"),
        pytest.param(chat(model="x" * 10_000), 400, "model", id="a long model"),
        pytest.param(b'{"model": "llink", "messages": [', 400, None, id="half a body"),
        pytest.param(b"", 400, None, id="no body"),
        pytest.param(b"[" * 100_000, 400, None, id="100 000 lists in one another"),
        pytest.param(DEEP, 400, None, id="100 000 objects in one another"),
        pytest.param(with_content("[" * 50_000 + "]" * 50_000), 400, None, id="deep within"),
        pytest.param(with_content("9" * 5_000), 400, None, id="a number of 5 000 digits"),
        pytest.param(chat(seed=0).replace(b'"seed": 0', b'"seed": 1e400'), 400, "seed", id="past infinity"),
        pytest.param(chat(max_tokens=-1), 400, "max_tokens", id="-1 tokens"),
        pytest.param(chat(temperature=float("nan")), 400, "temperature", id="not a number"),
        pytest.param(chat(temperature=1e308), 400, "temperature", id="a hot temperature"),
        pytest.param(chat("Кто там?"), 422, "messages[0].content", id="a language nobody taught"),
        pytest.param(chat("Wer hat das Brot gekauft?"), 422, "messages[0].content", id="German"),
    ],
)  # fmt: skip
def test_refused(api: Running, body: bytes, status: int, param: str | None) -> None:
    refused(send(api.url, CHAT, body), status, param)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/embeddings", {"input": ["x"] * 10_000}, "input"),
        ("/v1/embeddings", {"input": "1" * 100_000}, "input"),
        ("/v1/embeddings", {"input": "\0"}, "input"),
        ("/v1/detect", {"input": "\ud800"}, "input"),
        ("/v1/detect", {"input": {}}, "input"),
        ("/v1/tokenize", {"text": "\ud800"}, "text"),
        ("/v1/tokenize", {"messages": 3}, "messages"),
        ("/v1/completions", {"prompt": ["x"] * 10_000}, "prompt"),
    ],
)
def test_the_other_endpoints_refuse_too(api: Running, path: str, body: dict[str, Any], param: str) -> None:
    reply = send(api.url, path, json.dumps({"model": "llink", **body}).encode())
    assert refused(reply, 400) and str(reply.body["error"]["param"]).startswith(param)


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "multipart/form-data; boundary=x", "application/xml", "\xff"]
)
def test_another_content_type(api: Running, kind: str | None) -> None:
    headers: dict[str, str | bytes] = {} if kind is None else {"content-type": kind.encode("latin-1")}
    assert "application/json" in refused(send(api.url, CHAT, chat(), headers), 400)


@pytest.mark.parametrize("value", [b"a\x01b", b"a\x7fb", b"\xff" * 8, b"x" * 1_000])
@pytest.mark.parametrize("header", ["authorization", "x-request-id", "x-anything"])
def test_control_characters_in_headers_are_not_passed_on(api: Running, header: str, value: bytes) -> None:
    """A server may refuse such a header by itself; what it answers carries none of it on."""
    parts = urlsplit(api.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest("POST", CHAT)
        connection._buffer.append(header.encode() + b": " + value)  # type: ignore[attr-defined]
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(len(chat())))
        connection.endheaders(chat())
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    assert response.status in (200, 400)
    assert value.decode("latin-1") not in str(response.headers)


def test_paths_that_lead_nowhere(api: Running) -> None:
    for path in ("/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%00", "/v1/models/" + "x" * 5_000, "/%ff"):
        refused(send(api.url, path, b"", {}, "GET"), 404)
    refused(send(api.url, "/v1/chat/completions", b"", {}, "DELETE"), 405)


def test_an_expired_key_an_unknown_one_and_none(registry: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.touch(mode=0o600)
    keys.write_text(
        "- {name: old, key: a-key-of-yesterday-1, expires: 2020-01-01}\n"
        "- {name: ada, key: a-key-of-ada-1815}\n"
    )
    with up(registry, f"keys.file={keys}") as running:

        def ask(**headers: str | bytes) -> Reply:
            return send(running.url, CHAT, chat(), {**JSON, **headers})

        assert ask(authorization="Bearer a-key-of-ada-1815").status == 200
        for given, code in (
            ("Bearer a-key-of-yesterday-1", "expired_api_key"),
            ("Bearer nobody-knows-this-one", "invalid_api_key"),
            ("Bearer " + "x" * 4_000, "invalid_api_key"),
            ("Bearer a-key-of-ada-1815\xff", "invalid_api_key"),
            ("Basic YTpi", "invalid_api_key"),
            ("", "invalid_api_key"),
        ):
            reply = ask(authorization=given.encode("latin-1"))
            refused(reply, 401)
            assert reply.body["error"]["code"] == code and "key-of" not in json.dumps(reply.body)
        refused(send(running.url, CHAT, chat()), 401)
        assert ask(authorization="Bearer a-key-of-ada-1815").status == 200
