"""Stage A: the projector learns to meet the teacher states (paper, section 3.2). Features only, no models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from llink_ray.errors import LlinkError
from llink_ray.metrics.retrieval import Retrieval, retrieval
from llink_ray.models.projector import Projector
from llink_ray.settings import Settings, StageASettings
from llink_ray.training import losses
from llink_ray.training.alignment_data import AlignmentData, Rows
from llink_ray.training.collective import gather, share, sum_gradients, world
from llink_ray.training.queue import Queue
from llink_ray.training.sampler import batch, effective_batch_size
from llink_ray.training.schedule import anneal, warm_cosine

_CONSTANTS_FROM = 131_072
"""Rows that a projector's constants and its regression are taken from at most: a gigabyte or so."""


class Best:
    """The projector of the best look at the validation pairs so far."""

    def __init__(self) -> None:
        self.score: tuple[float, float] | None = None
        """R@1, and the margin, which still tells projectors of equal R@1 apart."""
        self.evaluations_since = 0
        """Looks since then that found no better one."""
        self.weights: dict[str, torch.Tensor] = {}

    def record_validation(self, score: tuple[float, float], projector: Projector) -> None:
        """Keep ``projector`` if ``score`` is the best."""
        self.evaluations_since += 1
        if self.score is None or score > self.score:
            self.score, self.evaluations_since = score, 0
            self.weights = {k: v.detach().cpu().clone() for k, v in projector.state_dict().items()}

    def restore_into(self, projector: Projector) -> None:
        """Give ``projector`` the weights that were kept, if any."""
        if self.weights:
            projector.load_state_dict(self.weights)

    def state(self) -> dict[str, torch.Tensor]:
        """For a checkpoint; nothing where nothing is kept."""
        if self.score is None:
            return {}
        kept = {f"weights.{k}": v for k, v in self.weights.items()}
        record = torch.tensor([*self.score, self.evaluations_since], dtype=torch.float64)
        return {**kept, "record": record}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """From a checkpoint."""
        if not state:
            return
        r1, margin, looks = state["record"].tolist()
        self.score, self.evaluations_since = (r1, margin), int(looks)
        kept = (key for key in state if key.startswith("weights."))
        self.weights = {key.removeprefix("weights."): state[key] for key in kept}


def new_projector(encoder_dim: int, decoder_dim: int, settings: Settings) -> Projector:
    """A projector with the same first weights on every worker and in every trial."""
    torch.manual_seed(settings.seed)
    return Projector(encoder_dim, decoder_dim, settings.projector, len(settings.encoder.layers) or 1)


def prepare_alignment(
    projector: Projector, data: AlignmentData, settings: StageASettings, english: Rows | None = None
) -> AlignmentData:
    """Give a fresh projector its constants from the training pairs; returns what Stage A is to learn from.

    ``english`` (N, d_enc) is what the encoder says of the English side, for ``stage_a.english``.

    Raises:
        LlinkError: that is wanted, and was not computed: a sweep computes what its fixed settings want.
    """
    if settings.english and english is None:
        raise LlinkError(
            "stage_a.english=true wants what the encoder says of the English side, which was not computed: "
            "set it for the whole sweep with --set stage_a.english=true, or leave it out of the space"
        )
    rows = _spread(len(data.foreign))
    foreign, teacher = data.foreign[rows], data.teacher[rows]
    projector.standardise_with(foreign, teacher)
    if settings.english and english is not None:
        data = data.with_english(english)
        rows = _spread(len(data.foreign))
        foreign, teacher = data.foreign[rows], data.teacher[rows]
    projector.start_linear(foreign, teacher)
    return data


def _spread(count: int) -> torch.Tensor:
    """All of ``count`` rows, or as many as constants need, evenly apart."""
    if count <= _CONSTANTS_FROM:
        return torch.arange(count)
    return torch.linspace(0, count - 1, _CONSTANTS_FROM, dtype=torch.float64).long()


def seed_worker(settings: Settings, rank: int = 0) -> None:
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
        pairs = data.pairs or len(data.foreign)
        self.steps, self.warmup = settings.planned_steps(pairs), settings.planned_warmup(pairs)
        self.best = Best()
        self.batch_size = effective_batch_size(settings.batch_size, len(data.foreign), world()[1])
        self.optimizer = torch.optim.AdamW(
            projector.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.teachers, self.projections = (
            Queue(settings.queue, projector.dim, self.device) for _ in range(2)
        )

        self._bank = self._corpus_negatives()

    def _corpus_negatives(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Unit teacher states (Q, d) of the corpus, as many as settings allow, and their ids (Q,)."""
        most, count = self.settings.corpus_negatives, len(self.data.teacher)
        if not most:
            return None
        rows = torch.arange(count)
        if count > most:
            rows = torch.from_numpy(np.random.default_rng(self.seed).permutation(count)[:most]).sort().values
        states = torch.cat([self._teacher(part) for part in rows.split(4_096)])
        return F.normalize(states, dim=-1), self.data.sentences[rows].to(self.device)

    def _teacher(self, rows: torch.Tensor) -> torch.Tensor:
        """Normalised teacher states (n, d) of some rows."""
        return self.projector.normalise(self.data.teacher[rows].to(self.device))

    @property
    def done(self) -> bool:
        """Whether all steps are done, or the validation pairs have had enough."""
        patience = self.settings.patience
        return self.step >= self.steps or bool(patience and self.best.evaluations_since >= patience)

    def record_validation(self, found: Retrieval) -> None:
        """Keep the projector as it is now, if no look at the validation pairs found a better one."""
        if self.settings.keep == "best":
            self.best.record_validation((found.r1, found.margin), self.projector)

    def keep_best(self) -> None:
        """End the stage: the projector becomes the best one that was kept, where one was."""
        self.best.restore_into(self.projector)

    def advance(self) -> dict[str, float]:
        """One optimizer step on the next batch; returns the loss and its parts."""
        s = self.settings
        self.projector.train()
        rate = s.learning_rate * warm_cosine(
            self.step, self.steps, self.warmup, s.final_learning_rate / s.learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = torch.from_numpy(batch(len(self.data.foreign), self.batch_size, self.seed, self.step))
        mine = rows[share(len(rows))]
        projected = gather(self.projector(self.data.foreign[mine].to(self.device)))  # (B, d)
        teacher = self._teacher(rows)  # (B, d)
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
        temperature = anneal(self.step, self.steps, s.temperature_start, s.temperature_end)
        if self._bank is not None:
            forth = losses.contrastive(
                projected, teacher, own, temperature, *self._bank, hardest=len(self._bank[1])
            )
        else:
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
        state |= {f"best.{k}": v for k, v in self.best.state().items()}
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
        self.best.restore(part("best"))
        self.step = int(state["step"])
        torch.set_rng_state(state["rng"] if rng is None else rng)


@torch.no_grad()
def project(projector: Projector, vectors: npt.NDArray[np.float32] | torch.Tensor) -> torch.Tensor:
    """All of (N, d_enc) through the projector, (N, d_dec), in host memory."""
    projector.eval()
    device = next(projector.parameters()).device
    return torch.cat([projector(part.to(device)).cpu() for part in torch.as_tensor(vectors).split(4_096)])


@torch.no_grad()
def validate(projector: Projector, foreign: torch.Tensor, teacher: torch.Tensor) -> Retrieval:
    """Retrieval on held-out features, both (M, …), in the space of normalised teacher states."""
    device = next(projector.parameters()).device
    normal = projector.normalise(teacher.to(device)).cpu()
    return retrieval(project(projector, foreign).numpy(), normal.numpy())
