"""Stage A: the projector learns to meet the teacher states (paper, section 3.2). Features only, no models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from llink_ray.evaluation.retrieval import Retrieval, retrieval
from llink_ray.features import ShardedRows
from llink_ray.models.projector import Projector
from llink_ray.settings import Settings, StageASettings
from llink_ray.training import losses
from llink_ray.training.collective import gather, share, sum_gradients, world
from llink_ray.training.queue import Queue
from llink_ray.training.sampler import batch, fitting
from llink_ray.training.schedule import anneal, warm_cosine


class Rows(Protocol):
    """N vectors, had by their places: a tensor, or :class:`MappedRows`."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        """(n, d) of n places."""


class MappedRows:
    """The first N vectors of stored features: read off the disk batch by batch, which the processes of a
    machine share, where a tensor would be a copy in each."""

    def __init__(self, vectors: ShardedRows, count: int) -> None:
        self._vectors, self._count = vectors, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        return torch.from_numpy(self._vectors[rows.numpy()])


@dataclass(frozen=True)
class AlignmentData:
    """Features of N training pairs."""

    foreign: Rows
    """Encoder vectors, (N, d_enc), float32."""
    teacher: Rows
    """Teacher states, (N, d_dec), float32."""
    sentences: torch.Tensor
    """(N,) the same number for the same English sentence: such rows are no negatives of each other."""


def fresh_projector(encoder_dim: int, decoder_dim: int, settings: Settings) -> Projector:
    """A projector with the same first weights on every worker and in every trial."""
    torch.manual_seed(settings.seed)
    return Projector(encoder_dim, decoder_dim, settings.projector)


def sow(settings: Settings, rank: int = 0) -> None:
    """What chance a worker's dropout has, from here on."""
    torch.manual_seed(settings.seed * 1_000 + rank)


class StageA:
    """The projector with its optimizer, queues and place in the schedule.

    Works on the projector's device; the features stay where they are and go there batch by batch.
    """

    def __init__(
        self, projector: Projector, data: AlignmentData, settings: StageASettings, seed: int
    ) -> None:
        self.projector, self.data, self.settings, self.seed = projector, data, settings, seed
        self.step, self.device = 0, next(projector.parameters()).device
        self.batch_size = fitting(settings.batch_size, len(data.foreign), world()[1])
        self.optimizer = torch.optim.AdamW(
            projector.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.teachers, self.projections = (
            Queue(settings.queue, projector.dim, self.device) for _ in range(2)
        )

    def advance(self) -> dict[str, float]:
        """One optimizer step on the next batch; returns the loss and its parts."""
        s = self.settings
        self.projector.train()
        rate = s.learning_rate * warm_cosine(
            self.step, s.steps, s.warmup_steps, s.final_learning_rate / s.learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = torch.from_numpy(batch(len(self.data.foreign), self.batch_size, self.seed, self.step))
        mine = rows[share(len(rows))]
        projected = gather(self.projector(self.data.foreign[mine].to(self.device)))  # (B, d)
        teacher = self.data.teacher[rows].to(self.device)  # (B, d)
        own = self.data.sentences[rows].to(self.device)  # (B,)
        parts = self._losses(projected, teacher, own)
        loss = parts["contrastive"] + s.direction_weight * parts["direction"] + s.norm_weight * parts["norm"]
        self.optimizer.zero_grad()
        loss.backward()
        sum_gradients(list(self.projector.parameters()))
        torch.nn.utils.clip_grad_norm_(self.projector.parameters(), s.clip)
        self.optimizer.step()
        self.teachers.push(F.normalize(teacher, dim=-1), own)
        self.projections.push(F.normalize(projected.detach(), dim=-1), own)
        self.step += 1
        named = {f"loss/{name}": float(value.detach()) for name, value in parts.items()}
        return {"loss": float(loss.detach()), "learning_rate": rate, **named}

    def _losses(
        self, projected: torch.Tensor, teacher: torch.Tensor, own: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        s = self.settings
        temperature = anneal(self.step, s.steps, s.temperature_start, s.temperature_end)
        forth = losses.contrastive(
            projected, teacher, own, temperature, *self.teachers.held(), hardest=s.hard_negatives
        )
        back = losses.contrastive(
            teacher, projected, own, temperature, *self.projections.held(), hardest=s.hard_negatives
        )
        return {
            "contrastive": (forth + back) / 2,
            "direction": losses.direction(projected, teacher),
            "norm": losses.norm(projected, teacher),
        }

    def state(self) -> dict[str, torch.Tensor]:
        """Everything a resumed run needs, flat."""
        state = {f"projector.{k}": v for k, v in self.projector.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{k}": v for k, v in moments.items()}
        for name, queue in (("teachers", self.teachers), ("projections", self.projections)):
            state |= {f"{name}.{k}": v for k, v in queue.state().items()}
        state |= {"step": torch.tensor(self.step), "rng": torch.get_rng_state()}
        host = {k: v.cpu() for k, v in state.items()}
        return {k: v.reshape(1) if v.dim() == 0 else v for k, v in host.items()}  # safetensors wants a shape

    def restore(self, state: dict[str, torch.Tensor], rng: torch.Tensor | None = None) -> None:
        """Go on where ``state`` was taken; ``rng`` is this worker's own generator."""

        def part(name: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}

        self.projector.load_state_dict(part("projector"))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in part("optimizer").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value.reshape(
                () if name == "step" else value.shape
            ).clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.teachers.restore(part("teachers"))
        self.projections.restore(part("projections"))
        self.step = int(state["step"])
        torch.set_rng_state(state["rng"] if rng is None else rng)


@torch.no_grad()
def project(projector: Projector, vectors: npt.NDArray[np.float32] | torch.Tensor) -> torch.Tensor:
    """All of (N, d_enc) through the projector, (N, d_dec), in host memory."""
    projector.eval()
    device = next(projector.parameters()).device
    return torch.cat([projector(part.to(device)).cpu() for part in torch.as_tensor(vectors).split(4_096)])


def validate(projector: Projector, foreign: torch.Tensor, teacher: torch.Tensor) -> Retrieval:
    """Retrieval on held-out features."""
    return retrieval(project(projector, foreign).numpy(), teacher.numpy())
