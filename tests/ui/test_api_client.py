"""The chat's client against the real service: what comes, and what each failure says."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from listening import free_port
from starlette.responses import HTMLResponse, JSONResponse, Response
from ui_service import BO, KEY, Running, asked, paced, refusal, scripted, service

from ui.api_client import ApiClient, ApiError, Completion, TextDelta

__all__ = ["service"]
ASKED = [{"role": "user", "content": f"How many? {BO}"}]


def failure(url: str, text: str = "hello", key: str | None = KEY, model: str = "llink") -> ApiError:
    """Of a chat."""

    async def ask(api: ApiClient) -> ApiError:
        with pytest.raises(ApiError) as raised:
            async for _ in api.chat([{"role": "user", "content": text}], model):
                pass
        return raised.value

    error = asked(url, ask, key)
    assert key is None or key not in str(error)
    return error


def test_an_answer_comes_in_pieces_with_what_the_model_saw(service: Running) -> None:
    async def ask(api: ApiClient) -> list[TextDelta | Completion]:
        return [event async for event in api.chat(ASKED, "llink", grounding=True)]

    *pieces, done = asked(service.url, ask)
    assert isinstance(done, Completion) and all(isinstance(piece, TextDelta) for piece in pieces)
    assert done.text == "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    assert done.finish_reason in ("stop", "length")
    assert done.usage["completion_tokens"] > 0
    assert done.llink["slots"] == 5 and done.llink["adapter"] == "bo"
    assert done.llink["spans"][1]["numerals"] == ["560"]
    assert {"nats", "sentence"} <= done.llink["grounding"].keys()
    assert 0 < done.first_token < 60 and done.tokens_per_second > 0


def test_models_and_detection(service: Running) -> None:
    models = {model.id: model for model in asked(service.url, ApiClient.models)}
    assert models["llink:bo"].language == "bo" and models["llink:bo"].version == "v0001"
    assert models["llink:bo"].max_sentences == 4
    assert [model.id for model in models.values() if model.owned_by == "base"] == ["embedded"]
    spans = asked(service.url, lambda api: api.detect(ASKED[0]["content"]))
    assert [span.language for span in spans] == ["en", "bo"] and spans[-1].end == len(ASKED[0]["content"])


def test_the_address_may_end_in_v1(service: Running) -> None:
    assert asked(f"{service.url}/v1/", ApiClient.models) == asked(service.url, ApiClient.models)


def test_who_leaves_ends_the_request(service: Running) -> None:
    def cancelled() -> float:
        name, wanted = "llink_requests_total", {"outcome": "cancelled"}
        found = service.service.metrics.registry.collect()
        return sum(
            sample.value
            for family in found
            for sample in family.samples
            if sample.name == name and wanted.items() <= sample.labels.items()
        )

    async def leave(api: ApiClient) -> None:
        async with aclosing(api.chat(ASKED, "llink")) as events:
            async for _ in events:
                break
        deadline = time.monotonic() + 20
        while cancelled() <= before and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    before = cancelled()
    with paced(service.engine, 0.5):  # so that he leaves before the end
        asked(service.url, leave)
    assert cancelled() == before + 1


def test_a_language_that_nobody_taught_names_the_command(service: Running) -> None:
    error = failure(service.url, "Кто продал лошадей на старом рынке?")
    assert (error.kind, error.language) == ("untrained_language", "ru")
    assert "python jobs/train.py --lang=ru" in str(error)
    error = failure(service.url, "hello", model="llink:km")
    assert (error.kind, error.language) == ("untrained_language", "km")


def test_what_is_too_long(service: Running) -> None:
    error = failure(service.url, "word " * 500)
    assert error.kind == "too_long" and "2500 characters, and 2000 fit" in str(error)
    error = failure(service.url, "ཁང་པ་རེད། " * 9)
    assert error.kind == "too_long" and "its bundle reads 4 at once" in str(error)


@pytest.mark.parametrize(("key", "told"), [(f"{KEY}-wrong", "knows no such key"), (None, "wants a key")])
def test_a_key_that_is_wrong_or_missing(service: Running, key: str | None, told: str) -> None:
    error = failure(service.url, key=key)
    assert error.kind == "key" and told in str(error) and "LLINK_API_KEY" in str(error)


def test_too_many_requests_tell_the_wait(service: Running) -> None:
    asked(service.url, lambda api: api.detect("hello"), f"{KEY}-2")
    error = failure(service.url, key=f"{KEY}-2")
    assert error.kind == "busy" and error.retry_after and 1 <= error.retry_after <= 60
    assert f"try again in {error.retry_after:.0f} second" in str(error)


def test_an_api_that_is_not_there() -> None:
    error = failure(f"http://127.0.0.1:{free_port()}")
    assert error.kind == "unreachable" and "make serve" in str(error) and "--api" in str(error)


def event(content: str | None, finish: str | None = None) -> bytes:
    data = {"choices": [{"delta": {"content": content}, "finish_reason": finish}]}
    return f"data: {json.dumps(data)}\n\n".encode()


@pytest.mark.parametrize("how", ["ends", "breaks", "fails"])
def test_a_stream_that_breaks_keeps_what_arrived(how: str) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield event("There are")
        if how == "breaks":
            await asyncio.sleep(0.1)
            raise RuntimeError
        if how == "fails":
            error = {"message": f"the decoder {KEY} gave up", "code": "deadline_exceeded"}
            yield f"data: {json.dumps({'error': error})}\n\n".encode()

    async def ask(api: ApiClient) -> tuple[list[str], ApiError]:
        pieces = list[str]()
        with pytest.raises(ApiError) as raised:
            async for one in api.chat(ASKED, "llink"):
                assert isinstance(one, TextDelta)
                pieces.append(one.text)
        return pieces, raised.value

    with scripted(stream) as url:
        pieces, error = asked(url, ask)
    assert pieces == ["There are"]
    assert error.kind == "interrupted" and "what had arrived is kept: press Retry" in str(error)
    assert KEY not in str(error)


def test_a_line_separator_in_an_answer_is_a_letter() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for piece in ("one\u2028two\x85", "three"):
            data = {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
            yield f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
        yield event(None, "stop") + b"data: [DONE]\n\n"

    async def ask(api: ApiClient) -> str:
        return [one async for one in api.chat(ASKED, "llink")][-1].text

    with scripted(stream) as url:
        assert asked(url, ask) == "one\u2028two\x85three"


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (HTMLResponse("<h1>It works!</h1>"), "refused", "is it the llink service"),
        (JSONResponse({"choices": 3}), "refused", "is it the llink service"),
        (HTMLResponse("bad gateway", 502), "unreachable", "status 502"),
        (refusal(503, "a part is away", "overloaded", retry_after="1"), "busy", "try again in 1 second"),
        (refusal(429, "wait", retry_after="soon"), "busy", "wait"),
        (refusal(504, "the answer was not done in 60 seconds"), "interrupted", "60 seconds"),
        (refusal(400, f"what is {KEY}?"), "refused", r"what is \*\*\*\?"),
        (refusal(413, "the body is larger than 9 bytes: send less"), "too_long", "larger"),
        (refusal(500, ""), "refused", "failed \\(500\\)"),
    ],
)
def test_what_other_programs_answer(reply: Response, kind: str, told: str) -> None:
    with scripted(reply) as url:
        with pytest.raises(ApiError, match=told) as raised:
            asked(url, ApiClient.models)
        assert raised.value.kind == kind
        assert failure(url).kind == kind


def test_the_key_is_in_no_log(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        asked(service.url, ApiClient.models)
        failure(f"http://127.0.0.1:{free_port()}")
    assert caplog.records and KEY not in caplog.text
