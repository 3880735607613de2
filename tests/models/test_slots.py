"""Soft slots: their number, their size, and what they may look at."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from llink_ray.errors import LlinkError
from llink_ray.models.slots import Expander, SoftSlots
from llink_ray.settings import SlotSettings

WIDE, DIM, NORM = 12, 5, 0.7


def new(variant: str = "resampler", **changes: object) -> SoftSlots:
    torch.manual_seed(0)
    given = {"count": 4, "heads": 3, "layers": 2, "variant": variant, **changes}
    return SoftSlots(SlotSettings.model_validate(given), WIDE, DIM, NORM)


def inputs(rows: int = 3, tokens: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(rows, WIDE), torch.randn(rows, tokens, DIM), torch.ones(rows, tokens, dtype=torch.bool)


@pytest.mark.parametrize("variant", ["mean", "resampler"])
@pytest.mark.parametrize("count", [1, 7])
def test_slots_have_the_size_of_the_decoder_s_words(variant: str, count: int) -> None:
    slots = new(variant, count=count)(*inputs())
    assert slots.shape == (3, count, WIDE)
    assert torch.allclose(slots.norm(dim=-1), torch.full((3, count), NORM), rtol=1e-3)


def test_the_mean_variant_needs_no_tokens() -> None:
    module = new("mean")
    projected, tokens, mask = inputs()
    assert not module.reads_tokens
    assert torch.equal(module(projected, None, None), module(projected, tokens, mask))


def test_the_resampler_reads_each_token_and_no_padding() -> None:
    module = new()
    projected, tokens, mask = inputs()
    before = module(projected, tokens, mask)
    for place in range(6):
        other = tokens.clone()
        other[:, place] += 1.0 * torch.randn(DIM)
        assert not torch.allclose(module(projected, other, mask), before, atol=1e-4)
    padded = torch.cat([tokens, torch.full((3, 2, DIM), 9.0)], dim=1)
    longer = torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], dim=1)
    assert torch.allclose(module(projected, padded, longer), before, atol=1e-6)


def test_slots_depend_on_the_projected_vector_s_direction_alone() -> None:
    module = new("mean")
    projected, _, _ = inputs()
    assert torch.allclose(module(5 * projected, None, None), module(projected, None, None), atol=1e-5)
    assert not torch.allclose(module(-projected, None, None), module(projected, None, None), atol=1e-2)


def test_expander_as_the_paper_has_it() -> None:
    torch.manual_seed(0)
    expander = Expander(WIDE, 4)
    with torch.no_grad():
        expander.scale.fill_(1.7)
        expander.gate.fill_(0.3)
    projected, _, _ = inputs()
    unit = projected / projected.norm(dim=-1, keepdim=True)
    centred = unit - unit.mean(-1, keepdim=True)
    state = 1.7 * centred / (unit.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    weights = expander.state_dict()

    def through(name: str, state: torch.Tensor) -> torch.Tensor:
        for layer in (0, 2):
            state = state @ weights[f"{name}.{layer}.weight"].T + weights[f"{name}.{layer}.bias"]
            state = F.gelu(state) if layer == 0 else state
        return state

    wide = through("expand", state + torch.tanh(torch.tensor(0.3)) * through("adapter", state))
    assert weights["expand.0.weight"].shape == (2 * WIDE, WIDE)
    assert torch.allclose(expander(projected), wide.reshape(3, 4, WIDE), atol=1e-5)


def test_marks_stand_around_the_slots() -> None:
    module = new("mean")
    opening, closing = torch.randn(WIDE), torch.randn(WIDE)
    module.mark_with(opening, closing)
    slots = module(*inputs())
    marked = module.marked(slots)
    assert marked.shape == (3, 6, WIDE)
    assert torch.equal(marked[:, 1:-1], slots)
    assert torch.equal(marked[:, 0], opening.expand(3, -1)) and torch.equal(
        marked[:, -1], closing.expand(3, -1)
    )


def test_every_parameter_gets_a_gradient() -> None:
    module = new()
    with torch.no_grad():
        module.expander.gate.fill_(0.1)  # it starts shut
    random = torch.randn(3, 6, WIDE, generator=torch.Generator().manual_seed(3))
    (module.marked(module(*inputs())) * random).sum().backward()
    silent = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(LlinkError, match=r"slots\.heads is 5.*width 12.*divisor"):
        new(heads=5)
    new("mean", heads=5)  # it has none
