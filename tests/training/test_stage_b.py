"""Stage B in one process with the plain engine: what is trained, by which loss, in which rhythm."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import two_workers

from llink_ray.features import Features, RaggedRows, ShardedRows
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, Prompts, collate
from llink_ray.models.projector import Projector
from llink_ray.models.slots import MeanSlots, Slots, slot_module
from llink_ray.prompts import SLOT_ID
from llink_ray.settings import ProjectorSettings, SlotSettings, StageBSettings
from llink_ray.training import losses
from llink_ray.training.examples import MicroBatch, Scales
from llink_ray.training.stage_b import Objective, PlainEngine, StageB, ablated, parameter_groups

DIM, WIDE, VOCABULARY, COUNT = two_workers.DIM, two_workers.WIDE, two_workers.VOCABULARY, 2
PARTS = ("cosine", "contrastive", "bag_of_words", "words_in_order")
PLAIN: dict[str, Any] = {f"{part}_weight": 0.0 for part in PARTS} | {"usage": {"every": 0}}


def new_model(variant: str = "resampler", seed: int = 0) -> LlinkModel:
    torch.manual_seed(seed)
    given = SlotSettings.model_validate({"count": COUNT, "heads": 2, "layers": 1, "variant": variant})
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=10, dropout=0.5))
    decoder = two_workers.FakeDecoder()
    decoder.table.requires_grad_(False)
    decoder.head.requires_grad_(False)
    return LlinkModel(decoder, projector, slot_module(given, WIDE, DIM))


def settings(**changes: Any) -> StageBSettings:
    return StageBSettings.model_validate({"steps": 30, **changes})


class Batches:
    """A source of the same few examples: row i asks about text i."""

    def __init__(self, rows: int = 6, micro: int | None = None) -> None:
        random = np.random.default_rng(0)
        self.micro = micro or rows
        self.prompts = [
            [*random.integers(0, VOCABULARY, 1 + i % 3), *[SLOT_ID] * (COUNT + 2), 3] for i in range(rows)
        ]
        self.answers = [list(random.integers(0, VOCABULARY, 1 + i % 4)) for i in range(rows)]
        self.words = torch.from_numpy(random.integers(0, VOCABULARY, (rows, 3)))

    def step(self, step: int, rank: int, workers: int) -> list[MicroBatch]:
        count = len(self.prompts)
        parts = [slice(i, i + self.micro) for i in range(0, count, self.micro)]
        scale = len(parts) / sum(map(len, self.answers))
        rows = torch.arange(count)
        return [
            MicroBatch(
                collate(self.prompts[p], self.answers[p]),
                self.words[p],
                rows[p],
                rows[p],
                torch.full((len(rows[p]),), COUNT),
                Scales(scale, len(parts) / count, len(parts) / count),
            )
            for p in parts
        ]


def features(rows: int = 6) -> tuple[Features, torch.Tensor]:
    """Encoder's features and teacher states of as many texts, of unlike lengths."""
    random = np.random.default_rng(1)
    vectors = random.standard_normal((rows, DIM)).astype(np.float32)
    lengths = 1 + np.arange(rows) % 4
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = random.standard_normal((int(lengths.sum()), DIM)).astype(np.float16)
    teacher = torch.from_numpy(random.standard_normal((rows, WIDE)).astype(np.float32))
    return Features("", "", ShardedRows([vectors]), RaggedRows([(flat, offsets)])), teacher


def new_stage(model: LlinkModel, given: StageBSettings, source: Batches | None = None) -> StageB:
    optimizer = torch.optim.AdamW(parameter_groups(model, given), betas=(0.9, 0.98))
    engine = PlainEngine(Objective(model, given), optimizer, given.clip)
    foreign, teacher = features()
    return StageB(engine, optimizer, source or Batches(), foreign, teacher, given, torch.device("cpu"))  # type: ignore[arg-type]


def everything(rows: int = 6) -> tuple[Prompts, Encoded, torch.Tensor, MicroBatch]:
    [micro] = Batches(rows).step(0, 0, 1)
    foreign, teacher = features(rows)
    assert foreign.tokens is not None
    tokens, mask = foreign.tokens.gather(np.arange(rows))
    sources = Encoded(torch.from_numpy(foreign.vectors[:]), torch.from_numpy(tokens), torch.from_numpy(mask))
    return micro.prompts, sources, teacher, micro


def objective(
    model: LlinkModel, given: StageBSettings, sentences: list[int] | None = None, usage: bool = False
) -> Any:
    prompts, sources, teacher, micro = everything()
    named = micro.sentences if sentences is None else torch.tensor(sentences)
    return Objective(model, given)(prompts, sources, teacher, micro.words, named, micro.scales, None, usage)


def test_ablations() -> None:
    slots = torch.randn(4, 2, 3, requires_grad=True)
    zero, shuffled, mean = (ablated(Slots(slots), how).vectors for how in ("zero", "shuffle", "mean"))
    assert torch.equal(zero, torch.zeros(4, 2, 3))
    assert all(not torch.equal(shuffled[i], slots[i]) for i in range(4))
    assert sorted(shuffled.flatten().tolist()) == sorted(slots.flatten().tolist())
    assert torch.allclose(mean, slots.mean(0).expand(4, 2, 3))
    assert not any(vectors.requires_grad for vectors in (zero, shuffled, mean))


def test_supervised_part_is_the_mean_over_the_answers_tokens() -> None:
    model = new_model().eval()
    loss, parts = objective(model, settings(**PLAIN))
    assert set(parts) == {"supervised"}
    prompts, sources, _, _ = everything()
    at = losses.predicting(prompts.labels)
    nats, counts = losses.supervised(model(prompts, sources)[at], prompts.labels)
    assert float(loss.detach()) == pytest.approx(float(nats.sum() / counts.sum()), rel=1e-5)


def test_every_part_counts_with_its_weight() -> None:
    weights = {"cosine": 0.3, "contrastive": 0.5, "bag_of_words": 0.2, "words_in_order": 0.4}
    given = settings(**{f"{k}_weight": v for k, v in weights.items()}, usage={"every": 1, "weight": 0.7})
    loss, parts = objective(new_model(), given, usage=True)
    assert set(parts) == {"supervised", "usage", *weights}
    expected = parts["supervised"] + 0.7 * parts["usage"] + sum(w * parts[k] for k, w in weights.items())
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("ablation", ["zero", "shuffle", "mean"])
def test_usage_compares_each_row_with_its_ablated_self(ablation: str) -> None:
    model = new_model().eval()
    _, parts = objective(
        model, settings(**PLAIN | {"usage": {"ablation": ablation, "margin": 0.4}}), usage=True
    )
    prompts, sources, _, _ = everything()
    with torch.no_grad():
        slots = model.soft_slots(sources)
        means = []
        for used in (slots, ablated(slots, ablation)):
            at = losses.predicting(prompts.labels)
            logits = model.decode(model.embed(prompts, used), prompts.mask, at)
            nats, counts = losses.supervised(logits, prompts.labels)
            means.append(nats / counts)
    expected = sum(max(0.0, 0.4 + float(w) - float(a)) for w, a in zip(*means, strict=True)) / len(slots)
    assert float(parts["usage"]) == pytest.approx(expected, rel=1e-4)


def test_the_same_english_is_no_negative() -> None:
    given = settings(**PLAIN | {"contrastive_weight": 1.0})
    _, alone = objective(new_model(), given, sentences=[4] * 6)
    _, apart = objective(new_model(), given, sentences=[0, 1, 2, 3, 4, 5])
    _, twins = objective(new_model(), given, sentences=[0, 1, 2, 3, 4, 0])
    assert float(alone["contrastive"]) == 0.0
    assert 0 < float(twins["contrastive"]) < float(apart["contrastive"])


def test_what_is_trained_and_what_is_frozen() -> None:
    model, given = new_model(), settings(usage={"every": 1})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stage = new_stage(model, given)
    for _ in range(3):
        stage.advance()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {name for name in before if name.startswith(("projector", "decoder.table", "decoder.head"))}
    assert changed == set(before) - frozen - {"slots.embedding_norm"}


@pytest.mark.parametrize("variant", ["mean", "resampler"])
def test_loss_falls(variant: str) -> None:
    model = new_model(variant)
    rates = {"lora_learning_rate": 3e-2, "slot_learning_rate": 3e-2, "scale_learning_rate": 3e-2}
    stage = new_stage(model, settings(**rates, contrastive_weight=0.0))
    told = [stage.advance() for _ in range(30)]
    assert told[-1]["loss/supervised"] < 0.9 * told[0]["loss/supervised"]
    assert told[-1]["loss/bag_of_words"] < told[0]["loss/bag_of_words"]


def test_rhythm_of_usage_and_schedule() -> None:
    given = settings(steps=10, warmup_fraction=0.2, usage={"every": 3}, slot_learning_rate=1e-3)
    stage = new_stage(new_model(), given)
    told, rates = [], []
    for _ in range(10):
        told.append("loss/usage" in stage.advance())
        rates.append([group["lr"] for group in stage.optimizer.param_groups])
    assert told == [step % 3 == 0 for step in range(10)]
    peaks = [given.lora_learning_rate, given.slot_learning_rate, given.scale_learning_rate]
    assert rates[0] == pytest.approx([peak / 2 for peak in peaks])
    assert rates[1] == pytest.approx(peaks)
    assert all(0 < late < peak / 10 for late, peak in zip(rates[-1], peaks, strict=True))


def test_distillation_draws_the_answers_to_those_from_the_english() -> None:
    model, given = new_model(), settings(**PLAIN, distillation_weight=2.0)
    prompts, sources, _, micro = everything()
    source = Batches()
    english = collate([[*range(3, 6), 3] for _ in source.prompts], source.answers)
    objective = Objective(model, given)
    loss, parts = objective(prompts, sources, None, None, None, micro.scales, english)
    plain, _ = objective(prompts, sources, None, None, None, micro.scales)
    at, of = losses.predicting(prompts.labels), losses.predicting(english.labels)
    given_by = model.decode(model.embed(prompts, model.soft_slots(sources)), prompts.mask, at)
    teacher = model.decode(model.embed(english, None), english.mask, of)
    apart = losses.divergence(given_by, teacher).sum() * micro.scales.tokens
    assert float(parts["distillation"]) == pytest.approx(float(apart.detach()), rel=1e-5) and apart > 0.01
    assert float((loss - plain).detach()) == pytest.approx(2 * float(apart.detach()), rel=1e-4)


def test_groups_hold_every_trainable_parameter_once() -> None:
    model = new_model()
    groups = parameter_groups(model, settings())
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters() if p.requires_grad}
    assert isinstance(model.slots, MeanSlots)
    assert groups[2]["params"] == [model.slots.expander.scale]


@pytest.mark.parametrize("micro", [2, 3])
def test_accumulated_micro_batches_are_one_batch(micro: int) -> None:
    given = settings(**PLAIN | {"bag_of_words_weight": 0.2, "cosine_weight": 0.1})
    whole, parted = new_model(), new_model()
    one = new_stage(whole, given)
    several = new_stage(parted, given, Batches(micro=micro))
    for _ in range(4):
        assert float(several.advance()["loss"]) == pytest.approx(float(one.advance()["loss"]), rel=1e-5)
    for left, right in zip(whole.parameters(), parted.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)


def test_resumed_by_step_is_unbroken() -> None:
    given = settings(usage={"every": 3})
    unbroken = new_stage(new_model(), given)
    told = [unbroken.advance() for _ in range(9)]

    first = new_stage(new_model(), given)
    for _ in range(4):
        first.advance()
    model = new_model(seed=7)
    model.load_state_dict(copy.deepcopy(first.engine.objective.model.state_dict()))  # type: ignore[attr-defined]
    second = new_stage(model, given)
    peaks = second.peaks
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    second.step = 4
    assert [second.advance() for _ in range(5)] == told[4:]
    assert second.peaks == peaks


def test_stage_b_leaves_the_projector_s_dropout_off() -> None:
    model = new_model()
    _, sources, _, _ = everything()
    assert torch.equal(model.project(sources), model.project(sources))
    model.train()
    assert not model.projector.training and model.slots.training and model.decoder.training
    assert torch.equal(model.project(sources), model.project(sources))


def test_gradients_pass_a_wholly_frozen_decoder() -> None:
    model = new_model()
    model.decoder.requires_grad_(False)
    loss, _ = objective(model, settings(**PLAIN))
    loss.backward()
    assert isinstance(model.slots, MeanSlots)
    gradients = [parameter.grad for parameter in model.slots.expander.expand.parameters()]
    assert all(gradient is not None and float(gradient.abs().sum()) > 0 for gradient in gradients)
    assert all(parameter.grad is None for parameter in model.decoder.parameters())


def test_held_out_loss_is_the_mean_over_all_tokens_of_all_batches() -> None:
    prompts, sources, _, micro = everything()
    stage = new_stage(new_model(), settings())
    halves = [Batches(3).step(0, 0, 1)[0].prompts, prompts]  # unlike in size
    assert sources.tokens is not None and sources.mask is not None
    parts = [Encoded(*(part[:3] for part in (sources.vectors, sources.tokens, sources.mask))), sources]
    stage.engine.train(False)
    nats = 0.0
    for some, asked in zip(halves, parts, strict=True):
        logits = stage.engine.objective.model(some, asked)  # type: ignore[attr-defined]
        at = losses.predicting(some.labels)
        nats += float(losses.supervised(logits[at], some.labels)[0].sum())
    predicted = sum(int((some.labels >= 0).sum()) for some in halves)
    stage.engine.train()
    found = stage.held_out(list(zip(halves, parts, strict=True)))
    assert found == pytest.approx(nats / predicted, abs=1e-5)
    assert stage.engine.objective.training  # type: ignore[attr-defined]
    assert stage.step == 0 and micro.scales.tokens != 1.0


class Sinking(torch.nn.Module):
    """A loss whose gradient is 1 everywhere."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, dtype=dtype))

    def forward(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return self.weight.sum(), {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_steps_add_up_in_half_precision(dtype: torch.dtype) -> None:
    # A bfloat16 near 1 has no neighbour nearer than .004: steps of .001 would all be lost.
    objective = Sinking(dtype)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.001)
    engine = PlainEngine(objective, optimizer, clip=10.0)  # type: ignore[arg-type]
    for _ in range(100):
        loss, _ = engine()
        engine.backward(loss)
        engine.step()
    assert objective.weight.dtype == dtype and objective.weight.grad is None
    assert objective.weight.tolist() == pytest.approx([0.9] * 3, abs=0.003)
    assert float(engine.get_global_grad_norm() or 0) == pytest.approx(3**0.5, rel=1e-3)
