"""Clients of others, unchanged: huggingface_hub's, and OpenAI's asynchronous one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from openai.types import Completion as CompletionType
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from serve_zoo import BO, KM, Running

from llink_ray.bundles.pipeline import LlinkPipeline

Lessons = dict[str, tuple[Path, LlinkPipeline]]


@pytest.fixture(scope="module")
def client(api: Running) -> Iterator[InferenceClient]:
    with (
        pytest.MonkeyPatch.context() as patch,
        InferenceClient(base_url=f"{api.url}/v1", api_key="x") as hub_client,
    ):
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # which keeps it from loopback too
        yield hub_client


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(("code", "text"), [("bo", BO), ("km", KM)])
def test_hugging_face_s_client_chats(client: InferenceClient, lessons: Lessons, code: str, text: str) -> None:
    told = client.chat_completion(said(f"How many?\n{text}"), model="llink", max_tokens=8)
    assert told.choices[0].message.content == lessons[code][1].answer("How many?", text)
    assert told.choices[0].finish_reason in ("stop", "length")
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens
    assert told["llink"]["adapter"] == code


def test_hugging_face_s_client_streams(client: InferenceClient, lessons: Lessons) -> None:
    events = list(
        client.chat.completions.create(said(f"Who?\n{BO}"), model="llink:bo", max_tokens=8, stream=True)
    )
    text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert text == lessons["bo"][1].answer("Who?", BO) and len(events) > 2
    assert events[-1].choices[0].finish_reason in ("stop", "length")


def test_what_hugging_face_s_client_may_also_say(client: InferenceClient) -> None:
    told = client.chat_completion(
        said(f"Who?\n{BO}"), model="llink", max_tokens=4, temperature=0.7, top_p=0.9, seed=1, stop=["!"],
        logprobs=True, top_logprobs=2, presence_penalty=0.0, n=1,
    )  # fmt: skip
    logprobs = told.choices[0].logprobs
    assert logprobs is not None
    tokens = logprobs.content
    assert 1 <= len(tokens) <= 4 and all(len(token.top_logprobs) == 2 for token in tokens)


def test_hugging_face_s_client_hears_why_not(client: InferenceClient) -> None:
    with pytest.raises(BadRequestError, match="max_tokens"):
        client.chat_completion(said("Hi"), model="llink", max_tokens=0)
    with pytest.raises(HfHubHTTPError, match="Russian") as refused:
        client.chat_completion(said("Кто там?"), model="llink")
    assert refused.value.response.status_code == 422


def test_openai_s_asynchronous_client(api: Running, lessons: Lessons) -> None:
    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0) as client:
            assert "llink:bo" in [model.id async for model in client.models.list()]

            async def whole(code: str, text: str) -> None:
                told = await client.chat.completions.create(
                    model="llink", messages=[{"role": "user", "content": f"How many?\n{text}"}], max_tokens=8
                )
                assert told.choices[0].message.content == lessons[code][1].answer("How many?", text)

            async def streamed(code: str, text: str) -> None:
                events = await client.chat.completions.create(
                    model="llink",
                    messages=[{"role": "user", "content": f"How many?\n{text}"}],
                    max_tokens=8,
                    stream=True,
                )
                parts = [e.choices[0].delta.content or "" async for e in events if e.choices]
                assert "".join(parts) == lessons[code][1].answer("How many?", text)

            both = (("bo", BO), ("km", KM))
            await asyncio.gather(*(way(*one) for way in (whole, streamed) for one in both * 3))
            vectors = await client.embeddings.create(model="llink", input=[BO, KM])
            own = lessons["km"][1].embed([KM])[0]
            np.testing.assert_allclose(vectors.data[1].embedding, own / np.linalg.norm(own), atol=1e-4)
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("gpt-9")
            with pytest.raises(openai.BadRequestError, match="temperature"):
                await client.chat.completions.create(
                    model="llink", messages=[{"role": "user", "content": "Hi"}], temperature=3
                )

    asyncio.run(ask())


def test_openai_s_asynchronous_client_goes_away(api: Running) -> None:
    """Its place in the batch is free soon after."""
    engine = api.engine

    async def gone() -> None:
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0) as client:
            asked: Any = {"model": "llink", "messages": [{"role": "user", "content": BO}]}
            whole = await client.chat.completions.create(**asked)
            assert whole.usage.completion_tokens > 5, "long enough to leave it"
            before = engine.snapshot()
            engine.pace = 0.2
            events = await client.chat.completions.create(**asked, stream=True)
            async for event in events:
                if event.choices and event.choices[0].delta.content:
                    await events.close()
                    break
        for _ in range(200):
            now = engine.snapshot()
            if now.cancels == before.cancels + 1 and not now.running:
                assert now.tokens - before.tokens < whole.usage.completion_tokens
                return
            await asyncio.sleep(0.05)
        pytest.fail("its place is still taken")

    try:
        asyncio.run(gone())
    finally:
        engine.pace = 0.0


def test_bodies_are_valid_by_the_official_client_s_own_types(api: Running) -> None:
    def post(path: str, **body: Any) -> httpx2.Response:
        return httpx2.post(f"{api.url}/v1/{path}", json={"model": "llink", **body}, timeout=60)

    chat = {"messages": [{"role": "user", "content": f"Who?\n{BO}"}], "max_tokens": 4}
    more = {"logprobs": True, "top_logprobs": 2}
    ChatCompletion.model_validate_json(post("chat/completions", **chat, **more).text, strict=True)
    lines = post("chat/completions", **chat, **more, stream=True).text.split("\n")
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
    assert len(events) > 2
    for event in events:
        ChatCompletionChunk.model_validate_json(event, strict=True)
    CompletionType.model_validate_json(post("completions", prompt=BO, logprobs=2).text, strict=True)
    CreateEmbeddingResponse.model_validate_json(post("embeddings", input=[BO]).text, strict=True)
    for model in httpx2.get(f"{api.url}/v1/models").json()["data"]:
        Model.model_validate(model, strict=True)
