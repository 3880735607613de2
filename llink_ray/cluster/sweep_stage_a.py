"""Stage A of one trial in the trial's own process: features only, and as ``jobs/train.py`` would train it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from llink_ray.cluster.rundir import RunDir
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features import FeatureStore
from llink_ray.settings import Settings
from llink_ray.training.examples import sentence_numbers
from llink_ray.training.stage_a import AlignmentData, MappedRows, StageA, fresh_projector, sow, validate


class Alignment:
    """Stage A of one language, with chance of its own: several may take turns in one process."""

    def __init__(self, world: Path, settings: Settings, device: str) -> None:
        run = RunDir(world)
        told = run.read_json(world / "world.json")
        store = FeatureStore(told["store"])
        foreign, teacher = (store.open(told["features"][name]).vectors for name in ("foreign", "english"))
        train = run.read_pairs("train")
        n, m = len(train), len(run.read_pairs("validation"))
        if not m:
            raise LlinkError(
                "the corpus leaves no validation pairs to compare trials by: give more pairs, or a larger "
                "corpus.validation_fraction"
            )
        self.settings = settings.stage_a
        projector = fresh_projector(foreign.shape[1], teacher.shape[1], settings)
        projector.standardise_with(torch.from_numpy(foreign[np.arange(n)]))
        data = AlignmentData(MappedRows(foreign, n), MappedRows(teacher, n), sentence_numbers(train))
        self.stage = StageA(projector.to(device), data, self.settings, settings.seed)
        self.held_out = tuple(torch.from_numpy(part[np.arange(n, n + m)]) for part in (foreign, teacher))
        sow(settings)
        self._chance = self._drawn()
        self.loss = math.nan

    def _drawn(self) -> list[torch.Tensor]:
        return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]

    def advance(self) -> None:
        """One step.

        Raises:
            JobFailed: the loss is no number any more.
        """
        here, *there = self._chance
        torch.set_rng_state(here)
        if there:
            torch.cuda.set_rng_state_all(there)
        self.loss = self.stage.advance()["loss"]
        self._chance = self._drawn()
        if not math.isfinite(self.loss):
            raise JobFailed(f"the loss is {self.loss} at step {self.stage.step} of Stage A")

    def look(self) -> dict[str, float]:
        """Figures on the validation pairs."""
        found = validate(self.stage.projector, *self.held_out).as_dict()
        return {f"retrieval.{name}": value for name, value in found.items() if name != "count"} | {
            "stage_a.loss": self.loss
        }
