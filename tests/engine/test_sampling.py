"""Choosing a token, and which wishes are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_zoo import tokenizer

from llink_ray.engine import SamplingParams
from llink_ray.engine.sampling import Sampler, token_logprob
from llink_ray.engine.vocabulary import Vocabulary
from llink_ray.errors import LlinkError

LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0, 0.0])


def drawn(count: int = 3_000, **sampling: Any) -> torch.Tensor:
    """Shares of the five tokens."""
    choose = Sampler(SamplingParams(**{"temperature": 1.0, "seed": 0} | sampling))
    return torch.bincount(torch.tensor([choose(LOGITS) for _ in range(count)]), minlength=5) / count


def test_shares_are_the_probabilities() -> None:
    assert torch.allclose(drawn(), LOGITS.softmax(-1), atol=0.03)
    assert torch.allclose(drawn(temperature=3.0), (LOGITS / 3).softmax(-1), atol=0.03)


def test_greedy_and_nearly_greedy() -> None:
    assert drawn(50, temperature=0.0)[1] == 1
    assert drawn(50, temperature=1e-6)[1] == 1
    for nearly in (1e-7, 1e-38, 1e-308, 5e-324):  # what divides by them overflows
        assert drawn(50, temperature=nearly)[1] == 1


def test_top_p_keeps_the_likeliest() -> None:
    chances = LOGITS.softmax(-1)
    kept = torch.tensor([0.0, chances[1], chances[2], 0, 0])
    assert chances[1] < 0.7 < chances[1] + chances[2]
    assert torch.allclose(drawn(top_p=0.7), kept / kept.sum(), atol=0.03)
    assert drawn(50, top_p=1e-9)[1] == 1


def test_a_seed_says_it_all() -> None:
    assert torch.equal(drawn(100, seed=5), drawn(100, seed=5))
    choose = [Sampler(SamplingParams(temperature=1.0, seed=seed)) for seed in (5, 6, None, None)]
    rows = [[one(LOGITS) for _ in range(40)] for one in choose]
    assert len({tuple(row) for row in rows}) == 4


def test_described() -> None:
    made = tokenizer({"eos_token": "<eos>"})
    token = token_logprob(LOGITS, 0, 2, Vocabulary(made))
    logprobs = LOGITS.log_softmax(-1)
    assert token.id == 0 and token.text == made.decode([0]) and token.logprob == pytest.approx(logprobs[0])
    assert [one.id for one in token.top_logprobs] == [1, 2]
    assert [one.logprob for one in token.top_logprobs] == pytest.approx(logprobs[1:3].tolist())
    assert token_logprob(LOGITS, 0, 99, Vocabulary(made)).top_logprobs[-1].id == 3


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"stop": ("a", "")}, "stop string is empty"),
        ({"logprobs": -1}, "logprobs is -1"),
        ({"seed": 2**64}, "64 bits"),
    ],
)
def test_impossible_wishes(wish: dict[str, Any], said: str) -> None:
    with pytest.raises(LlinkError, match=said):
        SamplingParams(**wish)
