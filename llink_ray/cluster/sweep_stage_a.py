"""Stage A of one trial in the trial's own process: features only, and as ``jobs/train.py`` would train it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.sweep_trial import SHARED_DATA
from llink_ray.errors import JobFailed
from llink_ray.features import FeatureStore, ShardedRows
from llink_ray.settings import Settings
from llink_ray.training.alignment_data import AlignmentData, MappedRows
from llink_ray.training.examples import sentence_numbers
from llink_ray.training.stage_a import StageA, new_projector, prepare_alignment, seed_worker, validate


@dataclass(frozen=True)
class SharedData:
    """What all trials of a language and an encoder read."""

    foreign: ShardedRows
    teacher: ShardedRows
    encoded_english: ShardedRows | None
    sentences: torch.Tensor
    """(n,) of the training pairs, which come first."""
    held_out: tuple[torch.Tensor, torch.Tensor]
    """Encoder's vectors and teacher states of the validation pairs."""


@lru_cache(maxsize=4)  # the next trial finds it in the process it takes over
def _open(folder: Path) -> SharedData:
    run = RunDir(folder)
    config = run.read_json(folder / SHARED_DATA)
    store, keys = FeatureStore(config["store"]), config["features"]
    foreign, teacher = (store.open(keys[name]).vectors for name in ("foreign", "english"))
    train = run.read_pairs("train")
    n, m = len(train), len(run.read_pairs("validation"))
    rows = np.arange(n, n + m)
    held_out = torch.from_numpy(foreign[rows]), torch.from_numpy(teacher[rows])
    encoded = store.open(keys["encoded_english"]).vectors if "encoded_english" in keys else None
    return SharedData(foreign, teacher, encoded, sentence_numbers(train), held_out)


class StageATrial:
    """Stage A of one language, with random states of its own: several may take turns in one process."""

    def __init__(self, folder: Path, settings: Settings, device: str) -> None:
        shared = _open(folder)
        n = len(shared.sentences)
        self.settings, self.held_out = settings.stage_a, shared.held_out
        projector = new_projector(shared.foreign.shape[1], shared.teacher.shape[1], settings)
        data = AlignmentData(MappedRows(shared.foreign, n), MappedRows(shared.teacher, n), shared.sentences)
        encoded = shared.encoded_english
        data = prepare_alignment(
            projector, data, self.settings, MappedRows(encoded, n) if encoded is not None else None
        )
        self.stage = StageA(projector.to(device), data, self.settings, settings.seed)
        seed_worker(settings)
        self._random_states = self._current_states()
        self.loss = math.nan

    def _current_states(self) -> list[torch.Tensor]:
        return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]

    def advance(self) -> None:
        """One step.

        Raises:
            JobFailed: the loss is no number any more.
        """
        cpu, *gpus = self._random_states
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)
        self.loss = float(self.stage.advance()["loss"])
        self._random_states = self._current_states()
        if not math.isfinite(self.loss):
            raise JobFailed(f"the loss is {self.loss} at step {self.stage.step} of Stage A")

    def evaluate(self) -> dict[str, float]:
        """Figures on the validation pairs."""
        retrieval = validate(self.stage.projector, *self.held_out).as_dict()
        return {f"retrieval.{name}": value for name, value in retrieval.items() if name != "count"} | {
            "stage_a.loss": self.loss
        }
