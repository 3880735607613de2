"""Stage A on made-up features: it learns, and a resumed run is the unbroken one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llink_ray.errors import LlinkError
from llink_ray.features import ShardedRows
from llink_ray.models.projector import Projector
from llink_ray.settings import ProjectorSettings, StageASettings
from llink_ray.training.stage_a import AlignmentData, MappedRows, StageA, project, validate

DIM, WIDE = 12, 20  # encoder, decoder


def data(count: int = 96) -> AlignmentData:
    """Teacher states that a linear map of the encoder's vectors explains, off centre as real ones are."""
    random = torch.Generator().manual_seed(0)
    foreign = torch.randn(count, DIM, generator=random) * 0.1 + 0.5
    teacher = foreign @ torch.randn(DIM, WIDE, generator=random) * 3 + 1
    return AlignmentData(foreign, teacher, torch.arange(count))


def stage(features: AlignmentData, dropout: float = 0.0, seed: int = 0, **settings: object) -> StageA:
    torch.manual_seed(seed)
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=32, dropout=dropout))
    projector.standardise_with(features.foreign)
    given = {"steps": 40, "batch_size": 16, "warmup_steps": 5, "queue": 40, "hard_negatives": 8}
    return StageA(projector, features, StageASettings.model_validate(given | settings), seed=seed)


def test_the_projector_learns_to_find_the_english() -> None:
    features = data(160)
    train = AlignmentData(features.foreign[:128], features.teacher[:128], features.sentences[:128])
    run = stage(train, steps=80, learning_rate=5e-3, queue=0, hard_negatives=0)
    before = validate(run.projector, features.foreign[128:], features.teacher[128:])
    losses = [run.advance()["loss"] for _ in range(80)]
    after = validate(run.projector, features.foreign[128:], features.teacher[128:])
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert before.r1 < 0.2 < 0.6 < after.r1


def test_loss_is_the_sum_of_its_parts() -> None:
    run = stage(data(), direction_weight=0.5, norm_weight=2.0)
    for _ in range(3):
        told = run.advance()
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
    vectors, ids = run.teachers.held()
    assert sorted(ids.tolist()) == list(range(48))
    assert torch.equal(vectors, torch.nn.functional.normalize(features.teacher, dim=-1)[ids])
    assert torch.equal(run.projections.held()[1], ids)


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
    projector.standardise_with(features.foreign)
    seen = (features.foreign - projector.mean) * projector.scale
    assert torch.allclose(seen.mean(0), torch.zeros(DIM), atol=1e-5)
    assert torch.allclose(seen.std(0, correction=0), torch.ones(DIM), atol=1e-4)
    constant = torch.ones(4, DIM)
    projector.standardise_with(constant)
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
        MappedRows(ShardedRows([part.numpy()[:50], part.numpy()[50:]], 50), 96)
        for part in (features.foreign, features.teacher)
    ]
    mapped = stage(features)
    mapped.data = AlignmentData(stored[0], stored[1], features.sentences)
    tensors = stage(features)
    assert [mapped.advance() for _ in range(10)] == [tensors.advance() for _ in range(10)]
