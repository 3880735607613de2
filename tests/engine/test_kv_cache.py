"""Rows of the padded cache join and leave without a change to the others."""

from __future__ import annotations

import pytest
import torch
from model_zoo import tokenizer

from llink_ray.engine import EngineRequest, PromptInput, SamplingParams
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.engine.kv_cache import PaddedCache, left_mask


def cache(*lengths: int) -> PaddedCache:
    width = max(lengths)
    layers = tuple(
        (torch.randn(len(lengths), 2, width, 4), torch.randn(len(lengths), 2, width, 4)) for _ in range(3)
    )
    return PaddedCache(layers, lengths)


def row(held: PaddedCache, i: int) -> torch.Tensor:
    """Keys and values of what row ``i`` really has."""
    return torch.stack([torch.stack(pair)[:, i, :, held.width - held.lengths[i] :] for pair in held.layers])


def test_select_and_merge() -> None:
    left, right = cache(3, 7, 5), cache(2, 9)
    both = left.concat(right)
    assert both.width == 9 and both.lengths == (3, 7, 5, 2, 9)
    for i in range(5):
        assert torch.equal(row(both, i), row(left, i) if i < 3 else row(right, i - 3))
    few = both.select([2, 0])
    assert few.width == 5 and few.lengths == (5, 3)
    assert torch.equal(row(few, 0), row(left, 2)) and torch.equal(row(few, 1), row(left, 0))


def test_growing_leaves_the_old_one_whole() -> None:
    held = cache(3, 2)
    before = [row(held, i).clone() for i in range(2)]
    grown = held.to_dynamic()
    for i in range(3):
        grown.update(torch.ones(2, 2, 1, 4), torch.ones(2, 2, 1, 4), i)
    more = PaddedCache.from_dynamic(grown, [4, 3])
    assert more.width == 4 and held.width == 3
    assert all(torch.equal(row(held, i), before[i]) for i in range(2))
    assert all(torch.equal(row(more, i)[..., :-1, :], before[i]) for i in range(2))


def test_left_mask() -> None:
    assert left_mask([1, 3], 4, torch.device("cpu")).tolist() == [[0, 0, 0, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize("family", ["Mistral", "Gemma2", "Gemma3Text"])
def test_sliding_windows(family: str) -> None:
    """Windows shorter than the rows: the padding of one row does not push out what another still sees."""
    import transformers as tf

    from llink_ray.models.decoder import Decoder

    made = tokenizer({"eos_token": "<eos>", "pad_token": "<pad>"})
    torch.manual_seed(0)
    name = family.removesuffix("Text")
    config = getattr(tf, f"{family}Config")(
        vocab_size=len(made),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"] * 2,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=made.eos_token_id,
        pad_token_id=made.pad_token_id,
    )
    model = getattr(tf, f"{name}ForCausalLM")(config).eval()
    decoder = object.__new__(Decoder)
    decoder.__dict__.update(model=model, tokenizer=made, dim=32)
    from llink_ray.prompts.builder import PromptBuilder

    decoder.prompt_builder = PromptBuilder(made)
    engine = BatchedEngine(decoder)
    prompts = [list(range(10, 10 + n)) for n in (3, 17, 9)]
    handles = []
    for prompt in prompts:
        handles.append(
            engine.submit(
                EngineRequest(PromptInput(tuple(prompt)), None, SamplingParams(max_tokens=20, logprobs=0))
            )
        )
        for _ in range(4):
            engine.step()
    while engine.step():
        pass
    for prompt, handle in zip(prompts, handles, strict=True):
        ids = [token.id for token in handle.result(0).tokens]
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0]
        assert ids == logits.argmax(-1)[len(prompt) - 1 : -1].tolist()
        assert len(set(ids)) > 2
