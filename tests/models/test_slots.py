"""Soft slots: their number, their size, and what they may look at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from model_zoo import former_names
from torch.nn import functional as F

from llink_ray.errors import LlinkError
from llink_ray.models.encoder import Encoded
from llink_ray.models.slots import Expander, MeanSlots, Slots, slot_module
from llink_ray.settings import SlotSettings, StageBSettings

WIDE, DIM, NORM = 12, 5, 0.7


def new(variant: str = "resampler", **changes: object) -> MeanSlots:
    torch.manual_seed(0)
    given = {"count": 4, "heads": 3, "layers": 2, "variant": variant, **changes}
    module = slot_module(SlotSettings.model_validate(given), WIDE, DIM, NORM)
    assert isinstance(module, MeanSlots)
    return module


def inputs(rows: int = 3, tokens: int = 6) -> tuple[torch.Tensor, Encoded]:
    torch.manual_seed(1)
    projected, states = torch.randn(rows, WIDE), torch.randn(rows, tokens, DIM)
    return projected, Encoded(torch.zeros(rows, 1), states, torch.ones(rows, tokens, dtype=torch.bool))


@pytest.mark.parametrize("variant", ["mean", "resampler"])
@pytest.mark.parametrize("count", [1, 7])
def test_slots_have_the_norm_of_the_decoder_s_embeddings(variant: str, count: int) -> None:
    slots = new(variant, count=count)(*inputs())
    assert slots.vectors.shape == (3, count, WIDE) and slots.counts is None
    assert torch.allclose(slots.vectors.norm(dim=-1), torch.full((3, count), NORM), rtol=1e-3)
    assert slots.positions().tolist() == [count + 2] * 3
    assert torch.equal(slots.mean(), slots.vectors.mean(1))


def test_the_mean_variant_needs_no_tokens() -> None:
    module = new("mean")
    projected, encoded = inputs()
    assert not module.settings.reads_tokens
    without = module(projected, Encoded(encoded.vectors))
    assert torch.equal(without.vectors, module(projected, encoded).vectors)


def test_the_resampler_reads_each_token_and_no_padding() -> None:
    module = new()
    projected, encoded = inputs()
    tokens, mask = encoded.tokens, encoded.mask
    assert tokens is not None and mask is not None

    def slots(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = module(projected, replace(encoded, tokens=tokens, mask=mask)).vectors
        return vectors

    before = slots(tokens, mask)
    for position in range(6):
        changed = tokens.clone()
        changed[:, position] += 1.0 * torch.randn(DIM)
        assert not torch.allclose(slots(changed, mask), before, atol=1e-4)
    padded = torch.cat([tokens, torch.full((3, 2, DIM), 9.0)], dim=1)
    longer = torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], dim=1)
    assert torch.allclose(slots(padded, longer), before, atol=1e-6)


def test_slots_depend_on_the_projected_vector_s_direction_alone() -> None:
    module = new("mean")
    projected, encoded = inputs()
    before, longer, opposite = (module(x, encoded).vectors for x in (projected, 5 * projected, -projected))
    assert torch.allclose(longer, before, atol=1e-5)
    assert not torch.allclose(opposite, before, atol=1e-2)


def test_expander_as_the_paper_has_it() -> None:
    torch.manual_seed(0)
    expander = Expander(WIDE, 4)
    with torch.no_grad():
        expander.scale.fill_(1.7)
        expander.gate.fill_(0.3)
    projected, _ = inputs()
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


def test_slots_stand_between_the_delimiters() -> None:
    module = new("mean")
    with torch.no_grad():
        module.delimiters.normal_()
    slots = module(*inputs())
    rows = module.prompt_rows(slots).unflatten(0, (3, 6))
    assert torch.equal(rows[:, 1:-1], slots.vectors)
    for row, delimiter in zip((rows[:, 0], rows[:, -1]), module.delimiters, strict=True):
        assert torch.equal(row, delimiter.expand(3, -1))


def test_a_number_of_slots_for_each_text() -> None:
    module, vectors = new("mean"), torch.randn(3, 4, WIDE)
    slots = Slots(vectors, torch.tensor([1, 4, 2])).with_vectors(vectors)
    assert slots.positions().tolist() == [3, 6, 4]
    assert torch.allclose(slots.mean()[2], vectors[2, :2].mean(0))
    assert not slots.vectors[0, 1:].any()
    first, second, third = module.prompt_rows(slots).split([3, 6, 4])
    assert torch.equal(first[1:-1], vectors[0, :1]) and torch.equal(second[1:-1], vectors[1])
    assert torch.equal(third[1:-1], vectors[2, :2])
    assert all(torch.equal(rows[[0, -1]], module.delimiters) for rows in (first, second, third))


def test_every_parameter_gets_a_gradient() -> None:
    module = new()
    with torch.no_grad():
        module.expander.gate.fill_(0.1)  # starts closed
    random = torch.randn(3 * 6, WIDE, generator=torch.Generator().manual_seed(3))
    (module.prompt_rows(module(*inputs())) * random).sum().backward()
    silent = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_every_parameter_is_in_one_group() -> None:
    module = new()
    weights, scale = module.parameter_groups(StageBSettings(slot_learning_rate=0.5, scale_learning_rate=0.1))
    assert scale["params"] == [module.expander.scale] and scale["lr"] == 0.1 and not scale["weight_decay"]
    ids = [id(p) for p in (*weights["params"], *scale["params"])]
    assert sorted(ids) == sorted(map(id, module.parameters())) and weights["lr"] == 0.5


@pytest.mark.parametrize("variant", ["mean", "resampler"])
def test_tensors_by_their_former_names_are_loaded(variant: str) -> None:
    trained = new(variant)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.normal_()
    stored = former_names(trained.state_dict())
    assert "marks" in stored and ("readers.1.thought.0.weight" in stored) == (variant == "resampler")
    module = new(variant)
    module.load_state_dict(stored)
    within = torch.nn.ModuleDict({"slots": new(variant)})  # as in the checkpoint of a whole model
    within.load_state_dict({f"slots.{name}": tensor for name, tensor in stored.items()})
    for loaded in (module, within["slots"]):
        for name, tensor in loaded.state_dict().items():
            assert torch.equal(tensor, trained.state_dict()[name]), name
    del stored["marks"]
    with pytest.raises(RuntimeError, match="delimiters"):
        new(variant).load_state_dict(stored)


def test_parameters_keep_their_order() -> None:
    """Optimizers keep their moments by it, and the norm of a gradient is summed in it."""
    names = [*dict.fromkeys(name.split(".")[0] for name, _ in new().named_parameters())]
    assert names == ["delimiters", "expander", "token_projection", "blocks", "norm"]
    names = [*dict.fromkeys(name.split(".")[2] for name, _ in new().named_parameters() if "blocks" in name)]
    assert names == ["query_norm", "query", "key_value", "out_proj", "mlp_norm", "mlp"]


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(LlinkError, match=r"slots\.heads is 5.*width 12.*divisor"):
        new(heads=5)
    new("mean", heads=5)  # it has none
