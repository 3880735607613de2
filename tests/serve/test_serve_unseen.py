"""Text with letters that nobody sees is answered as the text without them, on every route."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from serve_zoo import BO, KM, Running

CHANGES = [
    lambda text: f"\u202a{text}",
    lambda text: f"{text}\u202c\x07",
    lambda text: text.replace("\n", "\x0b"),
    lambda text: text.replace("\n", "\x0c").replace(" ", "\u00a0"),
    lambda text: "\ufeff" + "\u2063".join(text),
    lambda text: text.replace("\u0f0b", "\u0f0c\u200d"),
]
LOCATED = ("spans", "slot_cache_hits")
"""What of the extension tells of the text as it was sent, and of who asked before."""


def call(api: Running, path: str, **body: Any) -> dict[str, Any]:
    reply = httpx2.post(f"{api.url}/v1/{path}", json={"model": "llink", **body}, timeout=60)
    assert reply.status_code == 200, reply.text
    payload: dict[str, Any] = reply.json()
    return payload


def without(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key not in LOCATED}


@pytest.mark.parametrize("change", CHANGES)
def test_the_answer_is_the_same(api: Running, change: Any) -> None:
    for model, text in (
        ("llink", f"How many?\n{BO}"),
        ("llink:km", f"Who?\n{KM}"),
        ("embedded", "Hi\nthere"),
    ):
        plain, other = (
            call(
                api,
                "chat/completions",
                model=model,
                max_tokens=8,
                messages=[{"role": "user", "content": one}],
            )
            for one in (text, change(text))
        )
        assert other["choices"][0]["message"] == plain["choices"][0]["message"]
        assert other["usage"] == plain["usage"] and without(other["llink"]) == without(plain["llink"])
        assert [span["numerals"] for span in other["llink"]["spans"]] == [
            span["numerals"] for span in plain["llink"]["spans"]
        ]


@pytest.mark.parametrize("space", ["projected", "encoder"])
def test_vectors_are_the_same(api: Running, space: str) -> None:
    texts = [BO, KM, "The farmer sold 30 apples."]
    plain = call(api, "embeddings", input=texts, llink={"space": space})
    for change in CHANGES:
        other = call(api, "embeddings", input=[*map(change, texts)], llink={"space": space})
        assert other["usage"] == plain["usage"]
        for one, same in zip(plain["data"], other["data"], strict=True):
            assert one["embedding"] == pytest.approx(same["embedding"], abs=1e-5)


@pytest.mark.parametrize("change", CHANGES)
def test_languages_and_costs_are_the_same(api: Running, change: Any) -> None:
    text = f"How many?\n{BO}"
    plain, other = (call(api, "detect", input=one)["data"][0]["spans"] for one in (text, change(text)))
    assert [s["language"] for s in other] == [s["language"] for s in plain] == ["en", "bo"]
    assert [s["confidence"] for s in other] == [s["confidence"] for s in plain]
    assert other[0]["start"] == 0 and other[-1]["end"] == len(change(text))
    costs = [call(api, "tokenize", text=one) for one in (text, change(text))]
    assert costs[0]["prompt_tokens"] == costs[1]["prompt_tokens"]
    assert costs[0]["prompt_tokens_raw"] == costs[1]["prompt_tokens_raw"]


def test_burmese_in_zawgyi_is_named_and_refused(api: Running) -> None:
    text = "ျမန္မာႏိုင္ငံမွာ ေနတယ္။"
    (span,) = call(api, "detect", input=text)["data"][0]["spans"]
    assert (span["language"], span["name"]) == ("my", "Burmese in Zawgyi")
    requests: list[tuple[str, dict[str, Any]]] = [
        ("chat/completions", {"messages": [{"role": "user", "content": text}]}),
        ("embeddings", {"input": [text]}),
        ("embeddings", {"input": ["Hi", text], "llink": {"space": "encoder"}}),
    ]
    for path, body in requests:
        reply = httpx2.post(f"{api.url}/v1/{path}", json={"model": "llink", **body}, timeout=60)
        error = reply.json()["error"]
        assert reply.status_code == 400 and "Burmese in Zawgyi" in error["message"]
        assert error["param"] in ("messages[0].content", "input[0]", "input[1]")
        if "llink" in body:
            continue
        body["llink"] = {"convert_zawgyi": True}  # then it is text like any, in a language of no bundle
        reply = httpx2.post(f"{api.url}/v1/{path}", json={"model": "llink", **body}, timeout=60)
        assert reply.status_code == 422 and "Burmese (my)" in reply.json()["error"]["message"]
