"""Stage A: aligns the projector with the teacher states (paper, section 3.2). Features only, no models."""

from __future__ import annotations

from dataclasses import dataclass

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
from llink_ray.training.collective import gather, local_rows, sum_gradients, world
from llink_ray.training.negative_queue import NegativeQueue
from llink_ray.training.prefetch import Prefetcher
from llink_ray.training.sampler import batch, effective_batch_size
from llink_ray.training.schedule import anneal, warm_cosine
from llink_ray.training.telemetry import Metrics, Throughput, to_floats

CONSTANTS_ROWS = 131_072
"""Rows from which a projector's constants and its regression are computed at most: a gigabyte or so."""
ROWS_AT_A_TIME = 4_096
"""Rows in one forward pass over a whole corpus."""


class BestProjector:
    """The projector with the best retrieval on the validation pairs so far."""

    def __init__(self) -> None:
        self.score: tuple[float, float] | None = None
        """R@1, then the margin, which orders projectors of equal R@1."""
        self.evaluations_since = 0
        """Evaluations since then without a better one."""
        self.weights: dict[str, torch.Tensor] = {}

    def update(self, score: tuple[float, float], projector: Projector) -> None:
        """Keep a copy of ``projector`` if ``score`` is the best."""
        self.evaluations_since += 1
        if self.score is None or score > self.score:
            self.score, self.evaluations_since = score, 0
            self.weights = {k: v.detach().cpu().clone() for k, v in projector.state_dict().items()}

    def restore_into(self, projector: Projector) -> None:
        """Load the kept weights, if any, into ``projector``."""
        if self.weights:
            projector.load_state_dict(self.weights)

    def state(self) -> dict[str, torch.Tensor]:
        """For a checkpoint; empty where nothing is kept."""
        if self.score is None:
            return {}
        kept = {f"weights.{k}": v for k, v in self.weights.items()}
        record = torch.tensor([*self.score, self.evaluations_since], dtype=torch.float64)
        return {**kept, "record": record}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """From a checkpoint."""
        if not state:
            return
        r1, margin, evaluations = state["record"].tolist()
        self.score, self.evaluations_since = (r1, margin), int(evaluations)
        self.weights = _subset(state, "weights")


def new_projector(encoder_dim: int, decoder_dim: int, settings: Settings) -> Projector:
    """A projector with the same first weights on every worker and in every trial."""
    torch.manual_seed(settings.seed)
    return Projector(encoder_dim, decoder_dim, settings.projector, len(settings.encoder.layers) or 1)


def prepare_alignment(
    projector: Projector,
    data: AlignmentData,
    settings: StageASettings,
    english: Rows | None = None,
    trained: bool = False,
) -> AlignmentData:
    """Set a new projector's constants from the training pairs; returns the data that Stage A trains on.

    ``english`` (N, d_enc) are the encoder's vectors of the English side, for ``stage_a.english``. One that is
    ``trained`` already keeps its constants.

    Raises:
        LlinkError: they are needed and missing: a sweep computes what its fixed settings need.
    """
    if settings.english and english is None:
        raise LlinkError(
            "stage_a.english=true wants what the encoder says of the English side, which was not computed: "
            "set it for the whole sweep with --set stage_a.english=true, or leave it out of the space"
        )
    rows = _spread(len(data.foreign))
    foreign, teacher = data.foreign[rows], data.teacher[rows]
    if not trained:
        projector.fit_normalisation(foreign, teacher)
    if settings.english and english is not None:
        data = data.with_english(english)
        rows = _spread(len(data.foreign))
        foreign, teacher = data.foreign[rows], data.teacher[rows]
    if not trained:
        projector.init_linear(foreign, teacher)
    return data


def _spread(count: int) -> torch.Tensor:
    """All of ``count`` rows, or as many as constants need, evenly apart."""
    if count <= CONSTANTS_ROWS:
        return torch.arange(count)
    return torch.linspace(0, count - 1, CONSTANTS_ROWS, dtype=torch.float64).long()


def seed_worker(settings: Settings, rank: int = 0) -> None:
    """Seed the generator of a worker's dropout."""
    torch.manual_seed(settings.seed * 1_000 + rank)


@dataclass(frozen=True)
class AlignmentBatch:
    """One step's data on the device."""

    foreign: torch.Tensor
    """This worker's encoder vectors, (B / workers, d_enc)."""
    teacher: torch.Tensor
    """Teacher states of the whole batch, (B, d_dec)."""
    sentences: torch.Tensor
    """Sentence numbers of the whole batch, (B,)."""


class StageA:
    """The projector with its optimizer, negative queues and step.

    Works on the projector's device; the features stay where they are and are moved there batch by batch.
    """

    def __init__(
        self, projector: Projector, data: AlignmentData, settings: StageASettings, seed: int
    ) -> None:
        self.projector, self.data, self.settings, self.seed = projector, data, settings, seed
        self.step, self.device = 0, next(projector.parameters()).device
        pairs = data.pairs or len(data.foreign)
        self.steps, self.warmup = settings.planned_steps(pairs), settings.planned_warmup(pairs)
        self.best = BestProjector()
        self.batch_size = effective_batch_size(settings.batch_size, len(data.foreign), world()[1])
        self.optimizer = torch.optim.AdamW(
            projector.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.teachers, self.projections = (
            NegativeQueue(settings.queue, projector.dim, self.device) for _ in range(2)
        )
        self._bank = self._corpus_negatives()
        self.batches = Prefetcher(self._batch, self.steps)
        self.throughput = Throughput()

    def _corpus_negatives(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Unit teacher states (Q, d) of the corpus, as many as the settings allow, and their ids (Q,)."""
        most, count = self.settings.corpus_negatives, len(self.data.teacher)
        if not most:
            return None
        rows = torch.arange(count)
        if count > most:
            rows = torch.from_numpy(np.random.default_rng(self.seed).permutation(count)[:most]).sort().values
        parts = rows.split(ROWS_AT_A_TIME)
        states = torch.cat([self.projector.normalise(self.data.teacher[p].to(self.device)) for p in parts])
        return F.normalize(states, dim=-1), self.data.sentences[rows].to(self.device)

    def _batch(self, step: int) -> AlignmentBatch:
        rows = torch.from_numpy(batch(len(self.data.foreign), self.batch_size, self.seed, step))
        local = rows[local_rows(len(rows))]
        return AlignmentBatch(
            self.data.foreign[local].to(self.device),
            self.data.teacher[rows].to(self.device),
            self.data.sentences[rows].to(self.device),
        )

    @property
    def done(self) -> bool:
        """Whether all steps are done, or ``patience`` evaluations brought nothing better."""
        patience = self.settings.patience
        return self.step >= self.steps or bool(patience and self.best.evaluations_since >= patience)

    def record_validation(self, result: Retrieval) -> None:
        """Keep the projector as it is now, if ``result`` is its best evaluation so far."""
        if self.settings.keep == "best":
            self.best.update((result.r1, result.margin), self.projector)

    def keep_best(self) -> None:
        """End the stage: load the best projector that was kept, if any."""
        self.best.restore_into(self.projector)

    def advance(self) -> dict[str, torch.Tensor | float]:
        """One optimizer step on the next batch; returns the loss, its parts and the gradient's norm."""
        s = self.settings
        self.projector.train()
        rate = s.learning_rate * warm_cosine(
            self.step, self.steps, self.warmup, s.final_learning_rate / s.learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        data = self.batches.take(self.step)
        projected = gather(self.projector(data.foreign))  # (B, d)
        teacher = self.projector.normalise(data.teacher)  # (B, d)
        parts = self._losses(projected, teacher, data.sentences)
        loss = parts["contrastive"] + s.direction_weight * parts["direction"] + s.norm_weight * parts["norm"]
        self.optimizer.zero_grad()
        loss.backward()
        sum_gradients(list(self.projector.parameters()))
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.projector.parameters(), s.clip)
        self.optimizer.step()
        self.teachers.push(F.normalize(teacher, dim=-1), data.sentences)
        self.projections.push(F.normalize(projected.detach(), dim=-1), data.sentences)
        self.step += 1
        self.throughput.count(len(data.teacher), 0, self.batches.wait_seconds)
        named = {f"loss/{name}": value.detach() for name, value in parts.items()}
        return {"loss": loss.detach(), "learning_rate": rate, **named, "gradient_norm": gradient_norm}

    def reduce(self, metrics: Metrics) -> dict[str, float]:
        """The figures of :meth:`advance` as numbers; they are the same on every worker."""
        return to_floats(metrics)

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
                projected, teacher, own, temperature, *self.teachers.contents(), hardest=s.hard_negatives
            )
        back = losses.contrastive(
            teacher, projected, own, temperature, *self.projections.contents(), hardest=s.hard_negatives
        )
        return {
            "contrastive": (forth + back) / 2,
            "direction": losses.direction(projected, teacher),
            "norm": losses.norm(projected, teacher),
        }

    def state(self) -> dict[str, torch.Tensor]:
        """Everything a resumed run needs, as flat tensors."""
        state = {f"projector.{k}": v for k, v in self.projector.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{k}": v for k, v in moments.items()}
        for name, part in (
            ("teachers", self.teachers),
            ("projections", self.projections),
            ("best", self.best),
        ):
            state |= {f"{name}.{k}": v for k, v in part.state().items()}
        state |= {"step": torch.tensor(self.step), "rng": torch.get_rng_state()}
        host = {k: v.cpu() for k, v in state.items()}
        return {k: v.reshape(1) if v.dim() == 0 else v for k, v in host.items()}  # safetensors wants a shape

    def restore(self, state: dict[str, torch.Tensor], rng: torch.Tensor | None = None) -> None:
        """Continue from ``state``; ``rng`` is this worker's own generator."""
        self.projector.load_state_dict(_subset(state, "projector"))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _subset(state, "optimizer").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value.reshape(
                () if name == "step" else value.shape
            ).clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.teachers.restore(_subset(state, "teachers"))
        self.projections.restore(_subset(state, "projections"))
        self.best.restore(_subset(state, "best"))
        self.step = int(state["step"])
        torch.set_rng_state(state["rng"] if rng is None else rng)


def _subset(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The entries of ``state`` below ``name``, without it."""
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}


@torch.no_grad()
def project(projector: Projector, vectors: npt.NDArray[np.float32] | torch.Tensor) -> torch.Tensor:
    """All of (N, d_enc) through the projector, (N, d_dec), in host memory."""
    projector.eval()
    device = next(projector.parameters()).device
    return torch.cat(
        [projector(part.to(device)).cpu() for part in torch.as_tensor(vectors).split(ROWS_AT_A_TIME)]
    )


@torch.no_grad()
def validate(projector: Projector, foreign: torch.Tensor, teacher: torch.Tensor) -> Retrieval:
    """Retrieval on held-out features, both (M, …), in the space of normalised teacher states."""
    device = next(projector.parameters()).device
    targets = projector.normalise(teacher.to(device)).cpu()
    return retrieval(project(projector, foreign).numpy(), targets.numpy())
