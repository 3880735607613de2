"""Requests that are wrong: refused in one shape, by name, quickly, and silent about what was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from guarded_app import CHAT, JSON, chat, client, guarded_app, refusal
from starlette.testclient import TestClient

from llink_ray.corpus import phrasebook
from serve.errors import ApiError
from serve.protocol import ChatRequest, CompletionRequest, EmbeddingsRequest, TokenizeRequest
from serve.validation import check_text


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    with client(guarded_app()) as ready:
        ready.post(CHAT, json=chat())
        yield ready


@pytest.mark.parametrize(
    ("body", "expected"),
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
def test_a_body_that_is_no_request(http: TestClient, body: bytes, expected: str) -> None:
    assert expected in refusal(http.post(CHAT, content=body, headers=JSON), 400)["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_json_that_is_not_called_json(http: TestClient, kind: str) -> None:
    reply = http.post(CHAT, content=json.dumps(chat()), headers={"content-type": kind})
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
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"length_penalty": 0.5}, "length_penalty"),
        ({"min_p": 0.05}, "min_p"),
        ({"best_of": 2}, "best_of"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"extra_body": {"llink": {}}}, "extra_body"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "\ufeff \u200b\u2060"}]}, "messages[0].content"),
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
def test_a_field_that_is_wrong_is_named(http: TestClient, fields: dict[str, Any], param: str) -> None:
    error = refusal(http.post(CHAT, json=chat(**fields)), 400, param)
    assert error["type"] == "invalid_request_error" and param.split("[")[0] in error["message"]


def wrong_values(schema: Any) -> Iterator[tuple[str, Any]]:
    """Each field of a request's model with values of every kind that JSON has."""
    kinds: list[Any] = ["x", "", "x" * 2_000, -1, 7, 1.5, 10**30, True, [], ["x"], [[]], {"x": 1}, [{}]]
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
def test_what_is_wrong_is_told_in_our_own_words(http: TestClient, path: str, schema: Any) -> None:
    good = {"model": "llink", "messages": chat()["messages"], "prompt": "a", "input": "a", "text": "a"}
    sentences = set()
    for name, value in wrong_values(schema):
        body = {key: other for key, other in good.items() if key in schema.model_fields} | {name: value}
        if schema is TokenizeRequest:  # one of two
            body.pop("text" if name == "messages" else "messages", None)
        reply = http.post(path, json=body)
        if reply.status_code != 200:
            param = reply.json()["error"]["param"]
            assert param.startswith(name), (name, value, reply.text)
            sentences.add(refusal(reply, 400, param)["message"])
    for wrong in ({"temperature": 3}, {"llink": {"default_instruction": "x" * 1_001}}, {"seed": 2**70}):
        sentences.add(refusal(http.post(CHAT, json=chat(**wrong)), 400, dotted_name(wrong))["message"])
    for expected in sentences:
        assert expected[0].islower() and expected == expected.strip() and "{" not in expected
        for word in ("Input", "input should", "should be", "Field", "valid", "pydantic", "String", "unable"):
            assert word not in expected, expected


def dotted_name(fields: dict[str, Any]) -> str:
    name, value = next(iter(fields.items()))
    return f"{name}.{next(iter(value))}" if isinstance(value, dict) else name


@pytest.mark.parametrize(
    ("fields", "expected"),
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
    http: TestClient, fields: dict[str, Any], expected: str
) -> None:
    assert expected in http.post(CHAT, json=chat(**fields)).json()["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": None, "top_p": None, "max_tokens": None, "stop": None, "seed": None, "n": None},
        {"temperature": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": None},
        {"repetition_penalty": 1.0, "top_k": -1, "min_p": 0, "best_of": 1, "ignore_eos": False},
        {"tools": None, "tool_choice": "none", "response_format": {"type": "text"}, "store": False},
        {"user": "ada", "metadata": {"a": "b"}, "service_tier": "auto", "unheard_of": [1, {}]},
        {"stream": True, "stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 20},
        {"llink": {"grounding": True, "default_instruction": ""}, "stop": ["a", "b"]},
        {"max_tokens": 4_096, "max_completion_tokens": 10**30, "tools": [], "functions": None},
    ],
)
def test_what_asks_for_nothing_unusual_passes(http: TestClient, fields: dict[str, Any]) -> None:
    reply = http.post(CHAT, json=chat(**fields))
    assert reply.status_code == 200 and reply.json() == {"turns": [["user", "hello"]]}


def test_parts_of_a_message_are_read_one_after_the_other(http: TestClient) -> None:
    reply = http.post(CHAT, json=chat([{"type": "text", "text": "བོད"}, {"type": "text", "text": "་ཡིག"}]))
    assert reply.json() == {"turns": [["user", "བོད་ཡིག"]]}


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(http: TestClient, literal: str) -> None:
    body = json.dumps(chat(temperature=7)).replace("7", literal)
    refusal(http.post(CHAT, content=body, headers=JSON), 400, "temperature")


@pytest.mark.parametrize(
    ("escape", "expected"),
    [
        ("\\ud800", "U+D800"),
        ("x\\udfff", "U+DFFF at character 1"),
    ],
)
def test_letters_that_are_refused(http: TestClient, escape: str, expected: str) -> None:
    body = json.dumps(chat("@")).replace("@", escape)
    error = refusal(http.post(CHAT, content=body, headers=JSON), 400, "messages[0].content")
    assert expected in error["message"] and error["code"] == "invalid_text"


@pytest.mark.parametrize("place", ["model", "stop", "\\ud800"])
def test_half_letters_elsewhere_do_no_harm(http: TestClient, place: str) -> None:
    body = json.dumps(chat(llink={}))[:-1] + f', "{place}": "\\ud800", "llink": {{"\\ud801": "\\ud802"}}}}'
    reply = http.post(CHAT, content=body, headers=JSON)
    assert reply.status_code == 400 and reply.json()["error"]["message"]


def test_what_was_sent_is_not_repeated(http: TestClient) -> None:
    for fields in (
        {"temperature": "mellon"},
        {"messages": [{"role": "mellon", "content": "mellon"}]},
        {"stop": {"mellon": 1}},
        {"llink": {"mellon speak friend": 1}},
        {"tools": ["mellon"]},
    ):
        reply = http.post(CHAT, json=chat(**fields))
        assert reply.status_code == 400 and "mellon" not in reply.text


def test_many_mistakes_are_found_as_quickly_as_one(http: TestClient) -> None:
    for fields in ({"stop": [0] * 200_000}, {"messages": [0] * 200_000}):
        start = time.process_time()
        refusal(http.post(CHAT, json=chat(**fields)), 400, f"{next(iter(fields))}[0]")
        assert time.process_time() - start < 5


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
    http: TestClient, path: str, body: dict[str, Any], param: str
) -> None:
    refusal(http.post(path, json={"model": "llink", **body}), 400, param)


def test_the_other_requests_pass() -> None:
    http = client(guarded_app())
    assert http.post("/v1/completions", json={"model": "m", "prompt": ["a", "b"]}).json() == {
        "texts": ["a", "b"]
    }
    assert http.post("/v1/embeddings", json={"model": "m", "input": "a"}).json() == {"texts": ["a"]}
    assert http.post("/v1/tokenize", json={"model": "m", "text": "a"}).json() == {"turns": [["user", "a"]]}


def test_the_document_has_examples(http: TestClient) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ChatRequest", "CompletionRequest", "EmbeddingsRequest", "TokenizeRequest"):
        assert schemas[name]["examples"][0]["model"].startswith("llink")
    assert "ErrorResponse" in schemas and "HTTPValidationError" not in schemas
    assert "likeliest" in schemas["ChatRequest"]["properties"]["temperature"]["description"]


# Text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ud83d", "U+D83D at character 0, half of a surrogate pair: take it out"),
        ("ab\udfff", "U+DFFF at character 2"),
    ],
)
def test_half_a_letter_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ApiError) as error:
        check_text(text, "messages[2].content")
    assert error.value.status == 400 and error.value.param == "messages[2].content"
    assert error.value.code == "invalid_text"
    assert error.value.message.startswith("messages[2].content has U+") and expected in error.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\tb\r\nc\n\x0b\x0c\u2028\u2029",
        "ab\0 \x1b[31m \x7f \x9b \ufdd0 \U0010ffff",
        "\u202eabc\u202c \u202d a\u202bb a\u202c",
        "\u2067\u202a\u2069\u202c" + "\u2067" * 126,
        "שלום \u2067abc\u2069 \u202bמה\u202c",
        "\u200f\u200e\u061c\u200b\u200c\u200d",
        "👩‍👩‍👧 😀 \ufffd\ufffc\ufeff",
        "\ue000\U000f0000",
    ],
)
def test_what_passes(text: str) -> None:
    check_text(text, "x")


@pytest.mark.parametrize("code", phrasebook.languages())
def test_real_text_passes(code: str) -> None:
    for pair in phrasebook.pairs(code, 50, 3):
        check_text(pair.foreign, "x")


@pytest.mark.parametrize("text", ["1" * 100_000, "ཀ" * 100_000, "\u2067a\u2069" * 33_333])
def test_long_texts_are_looked_through_quickly(text: str) -> None:
    start = time.process_time()  # a busy machine is no failure; what takes the square of the length is
    with suppress(ApiError):
        check_text(text, "x")
    assert time.process_time() - start < 5
