"""Made-up features for Stage A, and the stage on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from llink_ray.models.projector import Projector
from llink_ray.settings import ProjectorSettings, StageASettings
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.stage_a import StageA

DIM, WIDE = 12, 20  # encoder, decoder


@dataclass(frozen=True)
class InMemory(AlignmentData):
    """Features as tensors, which can be cut and computed with."""

    foreign: torch.Tensor
    teacher: torch.Tensor


def data(count: int = 96) -> InMemory:
    """Teacher states that a linear map of the encoder's vectors explains, off centre as real ones are."""
    random = torch.Generator().manual_seed(0)
    foreign = torch.randn(count, DIM, generator=random) * 0.1 + 0.5
    teacher = foreign @ torch.randn(DIM, WIDE, generator=random) * 3 + 1
    return InMemory(foreign, teacher, torch.arange(count))


def stage(features: AlignmentData, dropout: float = 0.0, seed: int = 0, **settings: object) -> StageA:
    torch.manual_seed(seed)
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=32, dropout=dropout))
    if isinstance(features.foreign, torch.Tensor):
        projector.fit_normalisation(features.foreign)
    given = {"steps": 40, "batch_size": 16, "warmup_steps": 5, "queue": 40, "hard_negatives": 8}
    return StageA(projector, features, StageASettings.model_validate(given | settings), seed=seed)
