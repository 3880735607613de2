"""Prompts given back with the log-probabilities of their tokens, as multiple choice is measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from prompt_inputs import prompt_input
from sequential_engine import SequentialEngine
from serve_zoo import BO, KM, Running, up
from steered_engine import SteeredEngine

from llink_ray.engine import PromptInput
from llink_ray.models.decoder import Decoder, load_tokenizer
from llink_ray.settings import DecoderSettings

ENGINES = {"batched": SteeredEngine, "sequential": SequentialEngine}
ENGLISH = "<|user|>Who sold it?\nThe cook sold 30 apples.<|end|><|assistant|> the cook"
EMBEDDED = DecoderSettings(model="embedded")


@pytest.fixture(scope="module", params=ENGINES)
def api(request: pytest.FixtureRequest, registry: Path) -> Iterator[Running]:
    """The API over either engine."""
    with up(registry, create=ENGINES[request.param]) as running:
        yield running


def complete(api: Running, prompt: str | list[str], **more: Any) -> Any:
    body = {"model": "llink", "prompt": prompt, "echo": True, "logprobs": 2, "max_tokens": 0} | more
    return httpx2.post(f"{api.url}/v1/completions", json=body)


@pytest.mark.parametrize("model", ["embedded", "llink"])
def test_english_is_scored_as_the_decoder_scores_it(api: Running, model: str) -> None:
    response = complete(api, ENGLISH, model=model).json()
    (choice,) = response["choices"]
    found = choice["logprobs"]
    decoder = Decoder.load(EMBEDDED)
    ids = decoder.tokenizer(ENGLISH, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = decoder.model(torch.tensor([[decoder.tokenizer.bos_token_id, *ids]])).logits[0]
    expected = [float(row[i]) for row, i in zip(logits.log_softmax(-1)[1:], ids[1:], strict=False)]
    assert choice["text"] == "".join(found["tokens"]) == ENGLISH and choice["finish_reason"] == "length"
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert found["token_logprobs"][1:] == pytest.approx(expected, abs=1e-3)
    assert all(len(top) == 2 for top in found["top_logprobs"][1:])
    for token, offset in zip(found["tokens"], found["text_offset"], strict=True):
        assert ENGLISH[offset:].startswith(token)
    assert response["usage"] == {
        "prompt_tokens": len(ids) + 1,
        "completion_tokens": 0,
        "total_tokens": len(ids) + 1,
    }


def test_tokens_that_slots_stand_for_have_no_figure_and_those_behind_them_have(api: Running) -> None:
    tokenizer: Any = load_tokenizer(EMBEDDED)
    before, after = "<|user|>How many?\n", "<|end|><|assistant|> 560"
    found, texts = {}, {"bo": BO, "km": KM, "both": f"{BO} The cook left. {BO}", "bare": BO}
    for name, text in texts.items():
        prompt = f"{before}{text}{after}" if name != "bare" else f"How many? {BO} 560"
        (choice,) = complete(api, prompt).json()["choices"]
        log = choice["logprobs"]
        assert choice["text"] == prompt and len(log["tokens"]) == len(
            tokenizer(prompt, add_special_tokens=False)["input_ids"]
        )
        none = [i for i, value in enumerate(log["token_logprobs"]) if value is None]
        assert [i for i, value in enumerate(log["top_logprobs"]) if value is None] == none
        shown = "".join(log["tokens"][i] for i in none[1:])
        assert "cook" not in shown and "560" not in shown and "bytes:" in shown
        scored = [
            t for t, value in zip(log["tokens"], log["token_logprobs"], strict=True) if value is not None
        ]
        assert not any(token.startswith("bytes:") for token in scored) and "".join(scored[-3:]).endswith(
            "560"
        )
        found[name] = log["token_logprobs"][-1]
    assert len(set(found.values())) == 4


def test_what_is_scored_is_what_training_writes(api: Running, lessons: Any) -> None:
    taught = lessons["bo"][1]
    prompt = taught.decoder.prompt_builder.slot_prompt("How many?", BO, taught.settings.slots)
    slots = prompt_input(taught, "How many?", BO).slots
    ids = taught.decoder.prompt_builder.answer_ids("560")
    name = next(single for single in api.engine.adapters if single.startswith("bo@"))
    expected = api.engine.score([PromptInput(tuple(prompt), slots)], ids, [name])[0]
    text = f"<s><|user|> How many?\n{BO}<|end|><|assistant|> 560<|end|>"
    (choice,) = complete(api, text).json()["choices"]
    scores = choice["logprobs"]["token_logprobs"][-len(ids) :]
    assert -sum(scores) / len(ids) == pytest.approx(expected, abs=1e-3)


def test_the_next_token_is_listed_also_where_it_ends_the_answer(api: Running) -> None:
    for prompt in (ENGLISH, f"<|user|> Who?\n{BO}<|end|><|assistant|>"):
        (alone,) = complete(api, prompt).json()["choices"]
        (choice,) = complete(api, prompt, max_tokens=1).json()["choices"]
        single, log = choice["logprobs"], alone["logprobs"]
        assert (
            single["tokens"][:-1] == log["tokens"] and single["token_logprobs"][:-1] == log["token_logprobs"]
        )
        assert single["token_logprobs"][-1] == max(single["top_logprobs"][-1].values())
        assert choice["text"].startswith(prompt)
    (more,) = complete(api, "<|user|>Who sold it?\nThe cook left.<|end|><|assistant|>", max_tokens=5).json()[
        "choices"
    ]
    assert more["text"] == "".join(t for t in more["logprobs"]["tokens"]) and more["finish_reason"] == "stop"


def test_several_prompts_and_the_text_alone(api: Running) -> None:
    response = complete(api, [ENGLISH, "Who?"]).json()
    assert [(c["index"], c["text"]) for c in response["choices"]] == [(0, ENGLISH), (1, "Who?")]
    (choice,) = complete(api, "Who?", logprobs=None).json()["choices"]
    assert choice["text"] == "Who?" and choice["logprobs"] is None
    (choice,) = complete(api, "Who?", logprobs=None, max_tokens=3).json()["choices"]
    assert choice["text"].startswith("Who?") and len(choice["text"]) > 4


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"stream": True}, "echo"),
        ({"echo": False}, "max_tokens"),
        ({"echo": "yes"}, "echo"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [[1, 2, 3]]}, "prompt"),
        ({"prompt": "a " * 9_000}, None),
    ],
)
def test_refused(api: Running, more: dict[str, Any], param: str | None) -> None:
    response = complete(api, **({"prompt": "Who?"} | more))
    assert response.status_code == 400 and response.json()["error"]["param"] == param
