"""Slots in number as the text is long."""

from __future__ import annotations

import pytest
import torch

from llink_ray.models.encoder import Encoded
from llink_ray.models.pooled_slots import PooledSlots, stretch_means
from llink_ray.settings import SlotSettings, StageBSettings

SETTINGS = SlotSettings(variant="pooled", count=6, least=2, letters_per_slot=4, hidden=16)


def encoded(lengths: list[int], counts: list[int], dim: int = 8) -> Encoded:
    torch.manual_seed(0)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    tokens = torch.randn(len(lengths), max(lengths), dim) * mask[..., None]
    return Encoded(torch.randn(len(lengths), 5), tokens, mask).with_slot_counts(counts)


@pytest.mark.parametrize(("text", "count"), [("", 2), ("ab", 2), ("abcd", 2), ("abcde", 3), ("a" * 99, 6)])
def test_the_number_follows_the_text(text: str, count: int) -> None:
    assert SETTINGS.slot_count(text) == count


def test_stretches_are_equal_and_cover_the_text() -> None:
    states = torch.arange(12.0).reshape(1, 12, 1).repeat(3, 1, 1)
    means = stretch_means(states, torch.tensor([12, 5, 2]), torch.tensor([3, 2, 4]))[..., 0]
    assert means[0, :3].tolist() == [1.5, 5.5, 9.5]
    assert means[1, :2].tolist() == [1.0, 3.0]  # of 5 states the middle one counts in both
    assert means[2].tolist() == [0.0, 0.0, 1.0, 1.0]  # more stretches than states


def test_a_text_has_the_same_slots_in_any_company() -> None:
    module = PooledSlots(SETTINGS, 12, 8, embedding_norm=2.0).eval()
    together = encoded([7, 3], [5, 2])
    projected = torch.randn(2, 12)
    slots = module(projected, together)
    alone = Encoded(together.vectors[1:], together.tokens[1:, :3], together.mask[1:, :3])  # type: ignore[index]
    own = module(projected[1:], alone.with_slot_counts([2]))
    torch.testing.assert_close(slots.vectors[1, :2], own.vectors[0])
    assert not slots.vectors[1, 2:].any()
    assert slots.positions().tolist() == [7, 4]
    assert len(module.prompt_rows(slots)) == 11


def test_the_first_slot_keeps_the_direction_of_stage_a() -> None:
    module = PooledSlots(SETTINGS, 12, 8, embedding_norm=2.0)
    projected = torch.randn(2, 12)
    projected -= projected.mean(-1, keepdim=True)
    summary = module.summary(module(projected, encoded([7, 3], [5, 2])))
    assert torch.nn.functional.cosine_similarity(summary, projected).min() > 0.999
    assert summary.norm(dim=-1).tolist() == pytest.approx([2.0, 2.0], rel=1e-3)


def test_everything_is_trained() -> None:
    module = PooledSlots(SETTINGS, 12, 8)
    (group,) = module.parameter_groups(StageBSettings())
    assert {id(p) for p in group["params"]} == {id(p) for p in module.parameters()}
    module.prompt_rows(module(torch.randn(2, 12), encoded([7, 3], [5, 2]))).square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())
