"""Stage A on made-up features: it learns, and a resumed run is the unbroken one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alignment import DIM, WIDE, InMemory, data, stage
from safetensors.torch import load_file, save_file

from llink_ray.errors import LlinkError
from llink_ray.features import ShardedRows
from llink_ray.models.projector import Projector
from llink_ray.settings import ProjectorSettings, StageASettings
from llink_ray.training.alignment_data import AlignmentData, MappedRows
from llink_ray.training.stage_a import StageA, project, validate


def test_the_projector_learns_to_find_the_english() -> None:
    features = data(160)
    train = InMemory(features.foreign[:128], features.teacher[:128], features.sentences[:128])
    run = stage(train, steps=80, learning_rate=5e-3, queue=0, hard_negatives=0)
    before = validate(run.projector, features.foreign[128:], features.teacher[128:])
    losses = [run.advance()["loss"] for _ in range(80)]
    after = validate(run.projector, features.foreign[128:], features.teacher[128:])
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert before.r1 < 0.2 < 0.6 < after.r1


def test_loss_is_the_sum_of_its_parts() -> None:
    run = stage(data(), direction_weight=0.5, norm_weight=2.0)
    for _ in range(3):
        told = run.reduce(run.advance())
        parts = told["loss/contrastive"] + 0.5 * told["loss/direction"] + 2 * told["loss/norm"]
        assert told["loss"] == pytest.approx(parts, rel=1e-6)


def test_schedule() -> None:
    run = stage(data(), steps=20, warmup_steps=4, learning_rate=1e-2, final_learning_rate=1e-4)
    rates = [run.advance()["learning_rate"] for _ in range(20)]
    assert rates[:4] == pytest.approx([2.5e-3, 5e-3, 7.5e-3, 1e-2])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 1e-4 <= rates[-1] < 5e-4


def test_the_queue_knows_the_sentences_of_earlier_steps() -> None:
    features = data(48)
    run = stage(features, queue=100)
    for _ in range(3):
        run.advance()
    vectors, ids = run.teachers.contents()
    assert sorted(ids.tolist()) == list(range(48))
    assert torch.equal(vectors, torch.nn.functional.normalize(features.teacher, dim=-1)[ids])
    assert torch.equal(run.projections.contents()[1], ids)


def test_another_epoch_never_meets_its_own_pair_as_a_negative() -> None:
    # One pair and a copy of it: all that batch and queue hold is the row's own sentence.
    features = data(2)
    twins = AlignmentData(features.foreign, features.teacher, torch.zeros(2, dtype=torch.long))
    run = stage(twins, batch_size=2)
    assert [run.advance()["loss/contrastive"] for _ in range(5)] == [0.0] * 5
    strangers = stage(features, batch_size=2)
    assert strangers.advance()["loss/contrastive"] > 0


@pytest.mark.parametrize("through_file", [False, True])
@pytest.mark.parametrize("stop", [1, 7, 13])
def test_resumed_is_unbroken_bit_for_bit(stop: int, through_file: bool, tmp_path: Path) -> None:
    features = data()
    unbroken = stage(features, dropout=0.3)
    torch.manual_seed(99)
    expected = [unbroken.advance() for _ in range(20)]

    first = stage(features, dropout=0.3)
    torch.manual_seed(99)
    for _ in range(stop):
        first.advance()
    state = {name: value.detach().contiguous().clone() for name, value in first.state().items()}
    if through_file:
        save_file(state, tmp_path / "state.safetensors")
        state = load_file(tmp_path / "state.safetensors")
    second = stage(features, dropout=0.3, seed=0)
    torch.manual_seed(5)  # another process is in another place
    second.restore(state)
    assert second.step == stop
    assert [second.advance() for _ in range(20 - stop)] == expected[stop:]
    for name, value in unbroken.state().items():
        assert torch.equal(second.state()[name], value), name


def test_two_runs_from_one_state_do_not_share_it() -> None:
    features = data()
    first, second = stage(features), stage(features)
    first.advance()
    second.restore(first.state())
    expected = [first.advance() for _ in range(3)]
    assert [second.advance() for _ in range(3)] == expected


def test_a_worker_s_own_generator_is_restored() -> None:
    run, other = stage(data()), stage(data())
    run.advance()
    torch.manual_seed(123)
    mine = torch.get_rng_state()
    expected = torch.rand(3)
    other.restore(run.state(), mine)
    assert torch.equal(torch.rand(3), expected)


def test_a_corpus_smaller_than_a_batch() -> None:
    run = stage(data(5), batch_size=64, queue=0, hard_negatives=0)
    assert run.batch_size == 5
    losses = [run.advance()["loss"] for _ in range(30)]
    assert losses[-1] < losses[0]


def test_no_pairs() -> None:
    with pytest.raises(LlinkError, match="0 training pairs are too few"):
        stage(data(1).__class__(torch.zeros(0, DIM), torch.zeros(0, WIDE), torch.zeros(0)))


def test_standardised_input() -> None:
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=8, dropout=0.0))
    features = data()
    projector.fit_normalisation(features.foreign)
    seen = (features.foreign - projector.mean) * projector.scale
    assert torch.allclose(seen.mean(0), torch.zeros(DIM), atol=1e-5)
    assert torch.allclose(seen.std(0, correction=0), torch.ones(DIM), atol=1e-4)
    constant = torch.ones(4, DIM)
    projector.fit_normalisation(constant)
    assert torch.isfinite(projector(constant)).all()


def test_projecting_is_free_of_dropout_and_of_batches() -> None:
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=8, depth=2, dropout=0.5))
    vectors = data(10).foreign
    whole = project(projector, vectors)
    assert torch.allclose(whole, torch.cat([project(projector, row[None]) for row in vectors]), atol=1e-6)
    assert torch.equal(whole, project(projector, vectors.numpy()))


def test_rows_read_off_the_disk_train_as_a_tensor_does() -> None:
    features = data()
    stored = [
        MappedRows(ShardedRows([part.numpy()[:50], part.numpy()[50:]]), 96)
        for part in (features.foreign, features.teacher)
    ]
    mapped = stage(features)
    mapped.data = AlignmentData(stored[0], stored[1], features.sentences)
    tensors = stage(features)
    assert [mapped.advance() for _ in range(10)] == [tensors.advance() for _ in range(10)]


@pytest.mark.parametrize(("pairs", "steps"), [(10, 300), (3_000, 300), (50_000, 1_953)])
def test_passes_fit_any_corpus(pairs: int, steps: int) -> None:
    settings = StageASettings(passes=20, least_steps=300, batch_size=512, warmup_steps=100)
    assert settings.planned_steps(pairs) == steps
    assert settings.planned_warmup(pairs) == min(100, steps // 10)
    assert 40 <= steps / settings.planned_evaluation_interval(pairs) < 50
    assert StageASettings(steps=7, warmup_steps=3, evaluate_every=2).planned_steps(pairs) == 7
    assert StageASettings(enabled=False, passes=3).planned_steps(pairs) == 0


def looked(run: StageA, scores: list[float]) -> list[torch.Tensor]:
    """First weights of the projector at each look, which finds the R@1 that it is told."""
    found = validate(run.projector, run.data.foreign, run.data.teacher)  # type: ignore[arg-type]
    weights = []
    for score in scores:
        run.advance()
        run.record_validation(replace(found, r1=score, margin=0.0))
        weights.append(next(run.projector.layers.parameters()).detach().clone())
    return weights


def test_the_best_look_is_kept_not_the_last() -> None:
    run = stage(data(), patience=2)
    weights = looked(run, [0.1, 0.5, 0.3])
    assert not run.done
    weights += looked(run, [0.5])
    assert run.done and run.step < run.steps, "two looks found nothing better"
    run.keep_best()
    assert torch.equal(next(run.projector.layers.parameters()), weights[1])


def test_the_paper_keeps_the_last() -> None:
    run = stage(data(), keep="last", patience=1)
    weights = looked(run, [0.5, 0.1, 0.1])
    run.keep_best()
    assert not run.done and torch.equal(next(run.projector.layers.parameters()), weights[-1])


def test_a_resumed_stage_knows_its_best(tmp_path: Path) -> None:
    run = stage(data(), patience=3)
    weights = looked(run, [0.2, 0.6, 0.4])
    save_file({k: v.contiguous() for k, v in run.state().items()}, tmp_path / "state.safetensors")
    resumed = stage(data(), seed=5, patience=3)
    resumed.restore(load_file(tmp_path / "state.safetensors"))
    assert resumed.best.score == (0.6, 0.0) and resumed.best.evaluations_since == 1
    looked(resumed, [0.3, 0.3])
    assert resumed.done
    resumed.keep_best()
    assert torch.equal(next(resumed.projector.layers.parameters()), weights[1])


def test_the_whole_corpus_gives_negatives() -> None:
    """A repeated sentence is no negative of itself, and fewer negatives make an easier task."""
    features = data()
    with_all, with_few = (stage(features, queue=0, hard_negatives=0, corpus_negatives=n) for n in (96, 10))
    without = stage(features, queue=0, hard_negatives=0)
    losses = [run.advance()["loss/contrastive"] for run in (with_all, with_few, without)]
    assert losses[0] > losses[1] > losses[2]
    same = AlignmentData(features.foreign, features.teacher, torch.zeros(96, dtype=torch.long))
    alone = stage(same, queue=0, hard_negatives=0, corpus_negatives=96)
    assert alone.advance()["loss/contrastive"] == pytest.approx(0.0, abs=1e-6)


def test_layers_of_the_encoder_are_mixed() -> None:
    """The layer that explains the teacher gains weight over one that is noise."""
    features = data(256)
    noise = torch.randn(256, DIM, generator=torch.Generator().manual_seed(3))
    both = InMemory(torch.cat([noise, features.foreign], 1), features.teacher, features.sentences)
    torch.manual_seed(0)
    projector = Projector(2 * DIM, WIDE, ProjectorSettings(hidden=32, dropout=0.0), layers=2)
    projector.fit_normalisation(both.foreign)
    given = {"steps": 150, "batch_size": 64, "warmup_steps": 5, "queue": 0, "hard_negatives": 0}
    run = StageA(projector, both, StageASettings.model_validate(given | {"learning_rate": 1e-2}), seed=0)
    for _ in range(150):
        run.advance()
    assert projector.mix is not None
    weights = projector.mix.softmax(0).tolist()
    assert weights[1] > 0.7 and sum(weights) == pytest.approx(1.0)


def test_english_stands_where_the_foreign_text_does() -> None:
    """Moved onto mean and spread of the foreign text, row by row beside the same teacher states."""
    features = data(200)
    english = features.foreign * torch.linspace(0.5, 2.0, DIM) - 3.0  # the same meaning, shifted and scaled
    both = features.with_english(english)
    rows = torch.tensor([150, 5, 205, 399, 199, 200])
    expected = features.foreign[rows % 200]
    assert torch.allclose(both.foreign[rows], expected, atol=1e-3)
    assert torch.equal(both.teacher[rows], features.teacher[rows % 200])
    assert torch.equal(both.sentences[rows], features.sentences[rows % 200])
    settings = {"passes": 4, "batch_size": 50, "queue": 0, "hard_negatives": 0}
    assert stage(features, **settings).steps == 16
    assert stage(both, **settings, english=True).steps == 32, "a pass is over both sides"


def test_english_read_off_the_disk() -> None:
    features = data(96)
    stored = MappedRows(ShardedRows([features.foreign.numpy()[:50], features.foreign.numpy()[50:]]), 96)
    in_memory, mapped = features.with_english(features.foreign + 1), features.with_english(stored)
    rows = torch.tensor([95, 100, 0, 191])
    assert torch.allclose(in_memory.foreign[rows], mapped.foreign[rows], atol=1e-5)
