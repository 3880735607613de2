"""The edge around a small application: refusals in one shape, quick, and silent about what was sent."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import edge_app
import httpx2
import pytest
import uvicorn
from edge_app import chat, client, guarded_app
from starlette.testclient import TestClient

from serve.keys import ApiKey, Caller, KeyRing, digest_of
from serve.protocol import ChatRequest, CompletionRequest, EmbeddingsRequest, TokenizeRequest
from serve.settings import ServeSettings

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def asked() -> Iterator[TestClient]:
    with client(guarded_app()) as ready:
        ready.post(CHAT, json=chat())
        yield ready


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    yield from edge_app.logged()


def refusal(reply: httpx2.Response, status: int, param: str | None = None) -> dict[str, Any]:
    """The error, after checking what holds of every one."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.headers["x-request-id"]) >= 1
    told = reply.json()
    assert set(told) == {"error"} and set(told["error"]) == {"message", "type", "param", "code"}
    assert told["error"]["message"] and "\n" not in told["error"]["message"]
    assert told["error"]["param"] == param
    assert "Traceback" not in reply.text and "secret" not in reply.text
    error: dict[str, Any] = told["error"]
    return error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"model":"llink"', "is not JSON (Expecting ',' delimiter, at character 16)"),
        (b'{"model":"\xff"}', "cannot be read as JSON in UTF-8"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"1" * 100_000, "cannot be read as JSON"),
        (b"[]", "has to be a JSON object"),
        (b"null", "has to be a JSON object"),
        (b"", "has to be a JSON object"),
    ],
)
def test_a_body_that_is_no_request(asked: TestClient, body: bytes, said: str) -> None:
    assert said in refusal(asked.post(CHAT, content=body, headers=JSON), 400)["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_json_that_is_not_called_json(asked: TestClient, kind: str) -> None:
    reply = asked.post(CHAT, content=json.dumps(chat()), headers={"content-type": kind})
    assert "content-type: application/json" in refusal(reply, 400)["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"stream": 1}, "stream"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": "a" * 65}, "stop"),
        ({"stop": "\u0000"}, "stop"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
            "messages[0].tool_calls",
        ),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"guided_choice": ["a", "b"]}, "guided_choice"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": "0"}, "frequency_penalty"),
        ({"logit_bias": {"50": 1}}, "logit_bias"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"llink": {"grounded": True}}, "llink.grounded"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "text": ""}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": "x"}] * 10_000}, "messages"),
        ({"messages": [{"role": "user", "content": "1" * 100_000}]}, "messages"),
        ({"messages": [{"role": "user", "content": "1" * 16_001}] * 2}, "messages"),
    ],
)
def test_a_field_that_is_wrong_is_named(asked: TestClient, fields: dict[str, Any], param: str) -> None:
    error = refusal(asked.post(CHAT, json=chat(**fields)), 400, param)
    assert error["type"] == "invalid_request_error" and param.split("[")[0] in error["message"]


def wrong_values(schema: Any) -> Iterator[tuple[str, Any]]:
    """Each field of a request's model with values of every kind that JSON has."""
    kinds: list[Any] = [
        "x",
        "",
        "x" * 2_000,
        -1,
        0,
        7,
        1.5,
        10**30,
        True,
        None,
        [],
        ["x"],
        [[]],
        {},
        {"x": 1},
        [{}],
    ]
    for name in schema.model_fields:
        yield from ((name, kind) for kind in kinds)


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (CHAT, ChatRequest),
        ("/v1/completions", CompletionRequest),
        ("/v1/embeddings", EmbeddingsRequest),
        ("/v1/tokenize", TokenizeRequest),
    ],
)
def test_what_is_wrong_is_told_in_our_own_words(asked: TestClient, path: str, schema: Any) -> None:
    good = {"model": "llink", "messages": chat()["messages"], "prompt": "a", "input": "a", "text": "a"}
    sentences = set()
    for name, value in wrong_values(schema):
        body = {**{key: one for key, one in good.items() if key in schema.model_fields}, name: value}
        reply = asked.post(path, json=body)
        if reply.status_code != 200:
            sentences.add(refusal(reply, 400, reply.json()["error"]["param"])["message"])
    for wrong in ({"temperature": 3}, {"llink": {"default_instruction": "x" * 1_001}}, {"seed": 2**70}):
        sentences.add(refusal(asked.post(CHAT, json=chat(**wrong)), 400, dotted_name(wrong))["message"])
    for said in sentences:
        assert said[0].islower() and said == said.strip() and "{" not in said
        for word in ("Input", "input should", "should be", "Field", "valid", "pydantic", "String", "unable"):
            assert word not in said, said


def dotted_name(fields: dict[str, Any]) -> str:
    name, value = next(iter(fields.items()))
    return f"{name}.{next(iter(value))}" if isinstance(value, dict) else name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tools": [{"type": "function"}]}, "tools asks for tools, which do not exist here"),
        ({"tool_choice": "required"}, "/v1/detect"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tools, which do not exist here"),
        ({"response_format": {"type": "json_schema"}}, "structured output, which does not exist here"),
        ({"guided_json": {}}, "say in the message what form you want"),
        ({"temperature": 3}, "temperature has to be 2.0 or less"),
        ({"messages": [{"role": "friend", "content": "x"}]}, "has to be 'system', 'developer', 'user' or"),
    ],
)
def test_what_does_not_exist_is_said_and_what_does(
    asked: TestClient, fields: dict[str, Any], said: str
) -> None:
    assert said in asked.post(CHAT, json=chat(**fields)).json()["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": None, "top_p": None, "max_tokens": None, "stop": None, "seed": None, "n": None},
        {"temperature": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": None},
        {"tools": None, "tool_choice": "none", "response_format": {"type": "text"}, "store": False},
        {"user": "ada", "metadata": {"a": "b"}, "service_tier": "auto", "unheard_of": [1, {}]},
        {"stream": True, "stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 20},
        {"llink": {"grounding": True, "default_instruction": ""}, "stop": ["a", "b"]},
        {"max_tokens": 4_096, "max_completion_tokens": 10**30, "tools": [], "functions": None},
    ],
)
def test_what_asks_for_nothing_unusual_passes(asked: TestClient, fields: dict[str, Any]) -> None:
    reply = asked.post(CHAT, json=chat(**fields))
    assert reply.status_code == 200 and reply.json() == {"turns": [["user", "hello"]]}


def test_parts_of_a_message_are_read_one_after_the_other(asked: TestClient) -> None:
    reply = asked.post(CHAT, json=chat([{"type": "text", "text": "བོད"}, {"type": "text", "text": "་ཡིག"}]))
    assert reply.json() == {"turns": [["user", "བོད་ཡིག"]]}


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(asked: TestClient, literal: str) -> None:
    body = json.dumps(chat(temperature=7)).replace("7", literal)
    refusal(asked.post(CHAT, content=body, headers=JSON), 400, "temperature")


@pytest.mark.parametrize(
    ("escape", "said"),
    [
        ("\\ud800", "U+D800"),
        ("x\\udfff", "U+DFFF at character 1"),
    ],
)
def test_letters_that_are_refused(asked: TestClient, escape: str, said: str) -> None:
    body = json.dumps(chat("@")).replace("@", escape)
    error = refusal(asked.post(CHAT, content=body, headers=JSON), 400, "messages[0].content")
    assert said in error["message"] and error["code"] == "invalid_text"


@pytest.mark.parametrize("place", ["model", "stop", "\\ud800"])
def test_half_letters_elsewhere_do_no_harm(asked: TestClient, place: str) -> None:
    body = json.dumps(chat(llink={}))[:-1] + f', "{place}": "\\ud800", "llink": {{"\\ud801": "\\ud802"}}}}'
    reply = asked.post(CHAT, content=body, headers=JSON)
    assert reply.status_code == 400 and reply.json()["error"]["message"]


def test_what_was_sent_is_not_repeated(asked: TestClient) -> None:
    for fields in (
        {"temperature": "mellon"},
        {"messages": [{"role": "mellon", "content": "mellon"}]},
        {"stop": {"mellon": 1}},
        {"llink": {"mellon speak friend": 1}},
        {"tools": ["mellon"]},
    ):
        reply = asked.post(CHAT, json=chat(**fields))
        assert reply.status_code == 400 and "mellon" not in reply.text


def test_many_mistakes_are_found_as_quickly_as_one(asked: TestClient) -> None:
    for fields in ({"stop": [0] * 200_000}, {"messages": [0] * 200_000}):
        begun = time.process_time()
        refusal(asked.post(CHAT, json=chat(**fields)), 400, f"{next(iter(fields))}[0]")
        assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 17}, "prompt"),
        ("/v1/completions", {"prompt": [1, 2]}, "prompt"),
        ("/v1/completions", {"prompt": [[1, 2], [3]]}, "prompt"),
        ("/v1/completions", {"prompt": ["a", None]}, "prompt[1]"),
        ("/v1/completions", {"prompt": "a", "echo": 1}, "echo"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
        ("/v1/completions", {"prompt": "a", "best_of": 2}, "best_of"),
        ("/v1/completions", {"prompt": "a", "logprobs": 6}, "logprobs"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": ["a", ""]}, "input[1]"),
        ("/v1/embeddings", {"input": ["a"] * 257}, "input"),
        ("/v1/embeddings", {"input": ["a", "\ufeff"]}, "input[1]"),
        ("/v1/embeddings", {"input": [[1, 2]]}, "input"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/embeddings", {"input": "a", "dimensions": "8"}, "dimensions"),
        ("/v1/embeddings", {"input": "a", "llink": {"space": "outer"}}, "llink.space"),
        ("/v1/tokenize", {}, "text"),
        ("/v1/tokenize", {"text": "a", "messages": [{"role": "user", "content": "a"}]}, "messages"),
        ("/v1/tokenize", {"text": "a" * 32_001}, "text"),
    ],
)
def test_the_other_requests_name_their_fields_too(
    asked: TestClient, path: str, body: dict[str, Any], param: str
) -> None:
    refusal(asked.post(path, json={"model": "llink", **body}), 400, param)


def test_the_other_requests_pass() -> None:
    asked = client(guarded_app())
    assert asked.post("/v1/completions", json={"model": "m", "prompt": ["a", "b"]}).json() == {
        "texts": ["a", "b"]
    }
    assert asked.post("/v1/embeddings", json={"model": "m", "input": "a"}).json() == {"texts": ["a"]}
    assert asked.post("/v1/tokenize", json={"model": "m", "text": "a"}).json() == {"turns": [["user", "a"]]}


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
    asked: TestClient, how: str, status: int, code: str | None, after: str | None
) -> None:
    reply = asked.get(f"/fails/{how}")
    assert refusal(reply, status)["code"] == code and reply.headers.get("retry-after") == after


def test_a_language_that_nobody_taught_and_a_model_that_is_not_there(asked: TestClient) -> None:
    error = refusal(asked.get("/fails/language"), 422, "messages")
    assert error["code"] == "language_not_taught" and "Burmese" in error["message"]
    assert refusal(asked.get("/fails/model"), 404, "model")["code"] == "model_not_found"


def test_paths_and_methods_that_are_not_served(asked: TestClient) -> None:
    assert refusal(asked.get("/v2/mellon"), 404)["code"] == "not_found"
    reply = asked.put(CHAT)
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
    begun = time.process_time()
    status, read = asyncio.run(ask_raw(app, length, [10_000_000]))
    assert (status, read) == (413, 0)
    assert time.process_time() - begun < 5


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
    """A server on a free port of this machine."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(guarded_app(), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("told", [True, False])
def test_a_large_body_over_a_real_connection(address: str, told: bool) -> None:
    body = b" " * 10_000_000 if told else iter([b" " * 100_000] * 100)
    with httpx2.Client(base_url=address, trust_env=False) as asked:
        asked.post(CHAT, json=chat())
        begun = time.process_time()
        refusal(asked.post(CHAT, content=body, headers=JSON), 413)
        assert time.process_time() - begun < 5
        assert asked.post(CHAT, json=chat()).status_code == 200


def test_a_stream_that_fails_is_not_taken_for_a_whole_one(address: str) -> None:
    with httpx2.Client(base_url=address, trust_env=False) as asked:
        assert asked.get("/stream").text.endswith("data: [DONE]\n\n")
        with pytest.raises(httpx2.RemoteProtocolError):
            asked.get("/stream?fail=true")


# Ids and log lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc-1._Z", "a" * 64])
def test_a_sane_id_is_kept(asked: TestClient, given: str) -> None:
    assert asked.get("/stream", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", 'a"b', "a\u00e9", "a{b}"])
def test_another_is_replaced(asked: TestClient, given: str) -> None:
    reply = asked.get("/stream", headers={"x-request-id": given.encode("latin-1")})  # type: ignore[dict-item]
    assert len(reply.headers["x-request-id"]) == 32


def test_each_request_has_its_line(asked: TestClient, lines: list[dict[str, Any]]) -> None:
    reply = asked.post(CHAT, json=chat("mellon"))
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
    asked.get("/fails/mellon")
    asked.get("/mellon")
    assert [(x["path"], x["status"]) for x in lines[1:]] == [("/fails/{how}", 500), (None, 404)]
    assert "mellon" not in json.dumps(lines)


def test_prompts_are_logged_only_where_that_is_asked(lines: list[dict[str, Any]]) -> None:
    asked = client(guarded_app(ServeSettings(log_prompts=True)))
    asked.post(CHAT, json=chat("བོད"))
    assert lines[0]["prompt"] == "བོད"


def test_a_stream_passes_as_it_comes_and_a_failure_breaks_it_off(lines: list[dict[str, Any]]) -> None:
    asked = client(guarded_app())
    whole = asked.get("/stream")
    assert whole.content == 'data: {"text":"བོད"}\n\ndata: [DONE]\n\n'.encode()
    assert whole.headers["cache-control"] == "no-cache, no-transform" and whole.headers["x-request-id"]
    asked.get("/stream?fail=true")
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
    asked = client(guarded_app(ring=KeyRing([ApiKey(Caller("ada"), digest_of(KEY))])))
    for header in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {KEY}"}):
        reply = asked.post(CHAT, json=chat(), headers=header)
        error = refusal(reply, 401)
        assert error["type"] == "authentication_error" and error["code"] == "invalid_api_key"
        assert reply.headers["www-authenticate"] == "Bearer"
    assert asked.post(CHAT, json=chat(), headers={"authorization": f"bearer {KEY}"}).status_code == 200
    assert lines[-1]["caller"] == "ada" and KEY not in json.dumps(lines)


def test_a_key_s_bounds_hold() -> None:
    caller = Caller("ada", requests_per_minute=2)
    asked = client(guarded_app(ring=KeyRing([ApiKey(caller, digest_of(KEY))]), clock=lambda: 0.0))
    key = {"authorization": f"Bearer {KEY}"}
    replies = [asked.post(CHAT, json=chat(), headers=key) for _ in range(3)]
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


def test_the_document_has_examples(asked: TestClient) -> None:
    schemas = asked.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ChatRequest", "CompletionRequest", "EmbeddingsRequest", "TokenizeRequest"):
        assert schemas[name]["examples"][0]["model"].startswith("llink")
    assert "ErrorResponse" in schemas and "HTTPValidationError" not in schemas
    assert "likeliest" in schemas["ChatRequest"]["properties"]["temperature"]["description"]
