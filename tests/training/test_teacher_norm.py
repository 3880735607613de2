"""A real decoder's geometry, made up: teacher states in a cone, and what no encoder can know of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from alignment import DIM, WIDE, InMemory, data

from llink_ray.errors import LlinkError
from llink_ray.models.projector import Projector
from llink_ray.models.teacher_norm import normalised
from llink_ray.settings import ProjectorSettings, StageASettings
from llink_ray.training.stage_a import StageA, prepare_alignment, validate


def cone(count: int = 320) -> InMemory:
    """Teacher states whose one shared direction dwarfs what tells them apart, of unequal sizes."""
    random = torch.Generator().manual_seed(1)
    foreign = torch.randn(count, DIM, generator=random)
    told = foreign @ torch.randn(DIM, WIDE, generator=random)
    sizes = torch.logspace(-2, 0, WIDE)
    return InMemory(foreign, told * sizes + 40 * torch.ones(WIDE), torch.arange(count))


def aligned(norm: str) -> float:
    features, held_out = cone(), slice(256, 320)
    train = InMemory(features.foreign[:256], features.teacher[:256], features.sentences[:256])
    torch.manual_seed(0)
    settings = ProjectorSettings.model_validate({"hidden": 64, "dropout": 0.0, "teacher_norm": norm})
    projector = Projector(DIM, WIDE, settings)
    projector.fit_normalisation(train.foreign, train.teacher)
    given = {"steps": 120, "batch_size": 64, "warmup_steps": 5, "queue": 0, "hard_negatives": 0}
    run = StageA(projector, train, StageASettings.model_validate(given | {"learning_rate": 5e-3}), seed=0)
    for _ in range(120):
        run.advance()
    return validate(projector, features.foreign[held_out], features.teacher[held_out]).r1


def test_normalised_teachers_open_the_cone() -> None:
    none, standard, predictive = map(aligned, ("none", "standard", "predictive"))
    assert min(standard, predictive) > none + 0.2


def test_what_no_encoder_can_know_does_not_count() -> None:
    """Half of the teacher's directions are noise to the encoder, and twice as large as the others."""
    random = torch.Generator().manual_seed(2)
    foreign = torch.randn(600, DIM, generator=random)
    known = foreign @ torch.randn(DIM, WIDE // 2, generator=random)
    unknown = 2 * DIM**0.5 * torch.randn(600, WIDE - WIDE // 2, generator=random)
    mixing = torch.linalg.qr(torch.randn(WIDE, WIDE, generator=random)).Q
    teacher = torch.cat([known, unknown], 1) @ mixing + 5
    share = {}
    for norm in ("standard", "predictive"):
        settings = ProjectorSettings.model_validate({"hidden": 8, "dropout": 0.0, "teacher_norm": norm})
        projector = Projector(DIM, WIDE, settings)
        projector.fit_normalisation(foreign[:500], teacher[:500])
        with torch.no_grad():
            whole, meant = (
                projector.normalise(part @ mixing + 5)[500:]
                for part in (torch.cat([known, unknown], 1), torch.cat([known, 0 * unknown], 1))
            )
        share[norm] = float((meant - meant.mean(0)).square().sum() / (whole - whole.mean(0)).square().sum())
    assert share["standard"] < 0.5 and share["predictive"] > 0.9


@pytest.mark.parametrize("pairs", [2, 5, 30])
def test_a_handful_of_pairs_has_a_norm_too(pairs: int) -> None:
    features = cone(pairs)
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=8, dropout=0.0, teacher_norm="predictive"))
    projector.fit_normalisation(features.foreign, features.teacher)
    normal = projector.normalise(features.teacher)
    assert torch.isfinite(normal).all() and bool(normal.any())


def test_a_bundle_places_english_as_its_projector_does(tmp_path: Path) -> None:
    features = cone()
    for norm, names in (("standard", 2), ("predictive", 2), ("none", 0)):
        settings = ProjectorSettings.model_validate({"hidden": 8, "dropout": 0.0, "teacher_norm": norm})
        projector = Projector(DIM, WIDE, settings)
        projector.fit_normalisation(features.foreign, features.teacher)
        constants = {k: v for k, v in projector.state_dict().items() if k.startswith("teacher_")}
        assert len(constants) == names
        expected = projector.normalise(features.teacher)
        assert torch.allclose(normalised(features.teacher, constants), expected)


def test_standard_normalisation_gives_mean_0_and_spread_1() -> None:
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=8, dropout=0.0, teacher_norm="standard"))
    features = cone()
    projector.fit_normalisation(features.foreign, features.teacher)
    normal = projector.normalise(features.teacher)
    assert torch.allclose(normal.mean(0), torch.zeros(WIDE), atol=1e-4)
    assert torch.allclose(normal.std(0, correction=0), torch.ones(WIDE), atol=1e-4)
    assert {"teacher_mean", "teacher_spread"} <= set(projector.state_dict()), "a bundle keeps them"
    plain = Projector(DIM, WIDE, ProjectorSettings(hidden=8, dropout=0.0))
    assert plain.normalise(features.teacher) is features.teacher
    assert "teacher_mean" not in plain.state_dict(), "bundles made before still load"


def linear(features: InMemory, norm: str = "predictive") -> Projector:
    torch.manual_seed(0)
    settings = {"hidden": 16, "dropout": 0.0, "teacher_norm": norm, "linear": True}
    return Projector(DIM, WIDE, ProjectorSettings.model_validate(settings))


def test_the_linear_map_starts_as_a_regression() -> None:
    """Before the first step retrieval is that of the regression, and steps go on from there."""
    features, held_out = cone(), slice(256, 320)
    train = InMemory(features.foreign[:256], features.teacher[:256], features.sentences[:256])
    given = {"steps": 20, "batch_size": 64, "warmup_steps": 2, "queue": 0, "hard_negatives": 0}
    settings = StageASettings.model_validate(given | {"learning_rate": 1e-4})
    projector = linear(features)
    run = StageA(projector, prepare_alignment(projector, train, settings), settings, 0)
    start = validate(projector, features.foreign[held_out], features.teacher[held_out])
    assert start.r1 > 0.9
    for _ in range(20):
        run.advance()
    end = validate(projector, features.foreign[held_out], features.teacher[held_out])
    assert end.r1 > 0.9
    last = projector.layers[-2]
    assert isinstance(last, torch.nn.Linear)
    assert bool(last.weight.any()), "the layers learn what the regression leaves"


def test_english_is_begun_with_where_it_is_wanted() -> None:
    features = data(60)
    for wanted, rows in ((True, 120), (False, 60)):
        settings = StageASettings(english=wanted)
        found = prepare_alignment(linear(features), features, settings, features.foreign + 2)
        assert len(found.foreign) == rows
    with pytest.raises(LlinkError, match=r"stage_a\.english=true wants what the encoder says of the English"):
        prepare_alignment(linear(features), features, StageASettings(english=True))


def test_constants_of_a_large_corpus_come_from_rows_evenly_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    features, settings = cone(), StageASettings(english=False)
    whole, part = linear(features), linear(features)
    prepare_alignment(whole, features, settings)
    monkeypatch.setattr("llink_ray.training.stage_a.CONSTANTS_ROWS", 160)
    prepare_alignment(part, features, settings)
    assert torch.allclose(part.mean, whole.mean, atol=0.2) and not torch.equal(part.mean, whole.mean)
