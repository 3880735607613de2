"""The start of the slots from the decoder's embeddings."""

from __future__ import annotations

import pytest
import torch

from llink_ray.models.pooled_slots import PooledSlots
from llink_ray.settings import EmbeddingStartSettings, SlotSettings
from llink_ray.training.embedding_start import TokenExamples, mutual_nearest, tokens_at, train_start


def test_mutual_nearest_takes_only_those_that_choose_each_other() -> None:
    english = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    foreign = torch.tensor([[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.2, 0.5, 0.0], [0.0, 0.0, 1.0]])
    rows, matches = mutual_nearest(foreign, english)
    assert list(zip(rows.tolist(), matches.tolist(), strict=True)) == [(0, 1), (1, 0)]


class Words:
    """A tokenizer of words, each with the space before it; the id is the word's length."""

    def __call__(self, text: str, **_: object) -> dict[str, list[object]]:
        ids: list[object] = []
        places: list[object] = []
        start = 0
        for word in text.split(" "):
            end = start + len(word)
            ids.append(len(word))
            places.append((max(0, start - 1), end))
            start = end + 1
        return {"input_ids": ids, "offset_mapping": places}


def test_tokens_at_takes_the_largest_overlap() -> None:
    # "a" is a token of its own, "longer" is cut in two, and the last span stands behind the text.
    spans = [(0, 0, 1), (1, 2, 5), (2, 5, 8), (3, 7, 12), (4, 12, 14)]
    assert tokens_at(Words(), "a longer end", spans) == [1, 6, 6, 3, -1]
    assert tokens_at(Words(), "", [(0, 0, 0)]) == [-1]


def test_token_states_learn_the_embeddings() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(50, 16)
    states = torch.randn(50, 16)
    targets = torch.arange(40).repeat(8)  # ten tokens never occur
    examples = TokenExamples((states[targets] + 0.05 * torch.randn(320, 16)).half(), targets)
    slots = PooledSlots(SlotSettings(variant="pooled", hidden=64), 16, 16)
    settings = EmbeddingStartSettings(passes=100.0, batch_size=64, negatives=20)
    first = train_start(slots, embeddings, examples, settings.model_copy(update={"passes": 0.2}), seed=0)
    loss = train_start(slots, embeddings, examples, settings, seed=0)
    assert loss < first / 3
    directions = torch.nn.functional.normalize(embeddings - embeddings.mean(0), dim=-1)
    with torch.no_grad():
        nearest = (slots.token_vectors(states[:40]) @ directions.T).argmax(1)
    assert (nearest == torch.arange(40)).float().mean() > 0.9


def test_the_start_is_the_same_for_the_same_seed() -> None:
    examples = TokenExamples(torch.randn(64, 8).half(), torch.arange(64) % 9)
    settings = EmbeddingStartSettings(passes=3.0, batch_size=16, negatives=4)
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        slots = PooledSlots(SlotSettings(variant="pooled", hidden=8), 4, 8)
        losses.append(train_start(slots, torch.eye(9, 4), examples, settings, seed=5))
    assert losses[0] == pytest.approx(losses[1], abs=0)
