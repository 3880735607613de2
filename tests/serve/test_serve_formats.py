"""Decoders' chat formats behind the API: slots go where their message goes, or the request is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import numpy as np
import pytest
from serve_zoo import BO, KM, Running

from llink_ray.engine import SamplingParams
from llink_ray.models.decoder import load_tokenizer
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import DecoderSettings

LAST_TURN = (
    "{%- set ns = namespace(s='') -%}{%- for m in messages -%}{%- if m.role == 'system' -%}"
    "{%- set ns.s = m.content ~ ' ' -%}{%- elif m.role == 'user' -%}"
    "<|user|>{{ (ns.s if loop.last else '') ~ m.content }}<|end|>{%- elif m.role == 'assistant' -%}"
    "<|assistant|>{{ m.content }}<|end|>{%- endif -%}{%- endfor -%}<|assistant|>"
)
NO_SYSTEM = "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"


def speak(running: Running, chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service as with a decoder of this chat format."""
    tokenizer: Any = load_tokenizer(DecoderSettings(model="embedded"))
    tokenizer.chat_template = chat
    monkeypatch.setattr(running.service, "prompt_builder", PromptBuilder(tokenizer))


def test_slots_move_with_their_message(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(api, LAST_TURN, monkeypatch)
    said = [("system", BO), ("user", f"Who? {KM}"), ("assistant", "the cook"), ("user", "Where?")]

    async def rows() -> Any:
        plan = (await api.service.encode(await api.service.prepare(said, "llink", SamplingParams()))).request
        logprobs = await api.service.backend.read(
            plan.bundles["bo"].encoder, [(plan.bundles["km"].ref, KM), (plan.bundles["bo"].ref, BO)]
        )
        return plan.generation.slots, np.concatenate([one.slots for one in logprobs.texts])

    placed, expected = asyncio.run(rows())
    np.testing.assert_array_equal(placed, expected)


def test_what_the_format_cannot_say_is_refused(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(api, NO_SYSTEM, monkeypatch)
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Be kind."}, {"role": "user", "content": "Who?"}]
        response = httpx2.post(
            f"{api.url}/v1/chat/completions", json={"model": "llink", "messages": messages}
        )
        assert (
            response.status_code == 400 and "leaves out message 1 of 2" in response.json()["error"]["message"]
        )


def test_a_developer_s_text_is_the_system_s_for_a_decoder_that_knows_no_other(api: Running) -> None:
    response = []
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Be kind."}, {"role": "user", "content": f"How many? {BO}"}]
        body = {"model": "llink", "messages": messages, "max_tokens": 4}
        response.append(httpx2.post(f"{api.url}/v1/chat/completions", json=body).json())
    assert response[0]["usage"] == response[1]["usage"] and response[0]["choices"] == response[1]["choices"]


def test_a_mark_of_ours_in_a_text_for_the_base_is_a_letter(api: Running) -> None:
    body = {"model": "embedded", "prompt": "Who? \ufffc \U000f0000 \ufffb", "max_tokens": 2}
    assert httpx2.post(f"{api.url}/v1/completions", json=body).status_code == 200


def test_log_probabilities_are_of_the_bytes_that_are_said(api: Running) -> None:
    drawn = {"model": "llink:km", "temperature": 2.0, "max_tokens": 40}
    pieces = False
    for seed in range(4):
        body = {**drawn, "seed": seed, "messages": [{"role": "user", "content": "Hi"}], "logprobs": True}
        response = httpx2.post(f"{api.url}/v1/chat/completions", json=body | {"top_logprobs": 20}).json()
        (choice,) = response["choices"]
        tokens = choice["logprobs"]["content"]
        assert all(len({one["token"] for one in token["top_logprobs"]}) == 20 for token in tokens)
        said = b"".join(bytes(token["bytes"]) for token in tokens)
        assert said.decode(errors="replace") == choice["message"]["content"]
        body = {**drawn, "seed": seed, "prompt": "Hi", "logprobs": 5}
        (choice,) = httpx2.post(f"{api.url}/v1/completions", json=body).json()["choices"]
        logprobs = choice["logprobs"]
        assert all(len(top) == 5 for top in logprobs["top_logprobs"])
        for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
            if not token.startswith(("bytes:", "<")):
                assert choice["text"][offset:].startswith(token)
        pieces = pieces or any(token.startswith("bytes:") for token in logprobs["tokens"])
    assert pieces
