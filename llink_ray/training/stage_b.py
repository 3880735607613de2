"""Stage B: slots and LoRA under the supervised loss, made to use the slots (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from llink_ray.features import Features
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, Prompts
from llink_ray.models.slots import Slots
from llink_ray.settings import StageBSettings
from llink_ray.training import losses
from llink_ray.training.collective import gather, mean_over_workers, row_counts, world
from llink_ray.training.examples import ExampleSource, MicroBatch
from llink_ray.training.schedule import warm_cosine


def ablated(slots: Slots, how: str) -> Slots:
    """What stands in for slots to see what they are worth.

    ``zero``; ``shuffle``: another row's slots; ``mean``: the batch's mean. Without gradient: the term
    must not be won by spoiling a neighbour's slots.
    """
    if how == "zero":
        return slots.with_vectors(torch.zeros_like(slots.vectors))
    everyone = gather(slots.vectors).detach()  # (N_all, K, d)
    if how == "shuffle":
        first = sum(row_counts(len(slots))[: world()[0]])
        return slots.with_vectors(everyone.roll(1, 0)[first : first + len(slots)])
    return slots.with_vectors(everyone.mean(0, keepdim=True).expand_as(slots.vectors))


class Objective(nn.Module):
    """The model with its loss as one forward, so that any engine (DeepSpeed, plain) can wrap it."""

    def __init__(self, model: LlinkModel, settings: StageBSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings

    def forward(
        self,
        prompts: Prompts,
        sources: Encoded,
        teacher: torch.Tensor | None = None,
        words: torch.Tensor | None = None,
        sentences: torch.Tensor | None = None,
        scale: float = 1.0,
        row_scale: float = 1.0,
        with_usage: bool = False,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of a micro-batch (scalar) and its parts.

        ``teacher`` is (N, d_dec), ``words`` (N, W), ``sentences`` (N,), as in :class:`MicroBatch`; without
        them the supervised part alone, in nats. B prompts hold N foreign sentences.
        """
        s, model = self.settings, self.model
        projected = model.project(sources)  # (N, d)
        slots = model.soft_slots(sources, projected)
        embedded, mask, labels = model.embed(prompts, slots), prompts.mask, prompts.labels
        with_usage = with_usage and slots.width > 0
        if with_usage:
            other = model.embed(prompts, ablated(slots, s.usage.ablation))
            embedded = torch.cat([embedded, other])  # (2B, S, d)
            mask, labels = mask.repeat(2, 1), labels.repeat(2, 1)
        keep = int((labels >= 0).sum(-1).max()) + 1
        logits = model.decode(embedded, mask, keep)  # (B or 2B, keep, V)
        nats, counts = losses.supervised(logits, labels[:, -keep:])  # both (B or 2B,)
        size = len(prompts.ids)
        parts = {"supervised": nats[:size].sum() * scale}
        total = parts["supervised"]
        if with_usage:
            mean = nats / counts.clamp(min=1)
            if s.usage.as_in_the_papers_code:
                term = losses.usage_as_in_the_papers_code(mean[:size], mean[size:])
            else:
                term = losses.usage(mean[:size], mean[size:], s.usage.margin)
            parts["usage"] = term.mean()
            total = total + s.usage.weight * parts["usage"]
        held = slots.width > 0
        if held and teacher is not None and words is not None and sentences is not None:
            total = total + self._hold(slots, projected, teacher, words, sentences, row_scale, parts)
        return total, {name: value.detach() for name, value in parts.items()}

    def _hold(
        self,
        slots: Slots,
        projected: torch.Tensor,
        teacher: torch.Tensor,
        words: torch.Tensor,
        sentences: torch.Tensor,
        row_scale: float,
        parts: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        """Terms that keep the slots near what Stage A found and the English says."""
        s, total = self.settings, projected.new_zeros(())
        mean = slots.mean()  # (N, d)
        if s.cosine_weight:
            parts["cosine"] = (1 - F.cosine_similarity(mean, projected, dim=-1)).sum() * row_scale
            total = total + s.cosine_weight * parts["cosine"]
        if s.contrastive_weight:
            everyone, targets, own = gather(mean), gather(teacher), gather(sentences)
            workers = world()[1]
            # Each worker holds the gradient of its own rows of the whole loss; engines average over workers.
            parts["contrastive"] = losses.contrastive(everyone, targets, own, s.contrastive_temperature)
            pulled = parts["contrastive"] * workers - parts["contrastive"].detach() * (workers - 1)
            total = total + s.contrastive_weight * pulled
        if s.bag_of_words_weight or s.words_in_order_weight:
            # Slots leave with the norm of embeddings; the output rows expect the decoder's final scale.
            scaled = F.layer_norm(slots.vectors, slots.vectors.shape[-1:])
            head = self.model.decoder.get_output_embeddings()
            read = head(scaled.to(head.weight.dtype)).float()  # (N, K, V)
            if s.bag_of_words_weight:
                parts["bag_of_words"] = losses.bag_of_words(read, words, slots.counts).sum() * row_scale
                total = total + s.bag_of_words_weight * parts["bag_of_words"]
            if s.words_in_order_weight:
                parts["words_in_order"] = losses.words_in_order(read, words, slots.counts).sum() * row_scale
                total = total + s.words_in_order_weight * parts["words_in_order"]
        return total


class Engine(Protocol):
    """What drives the objective: DeepSpeed's engine, or :class:`PlainEngine`."""

    def __call__(self, *args: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]: ...
    def backward(self, loss: torch.Tensor) -> Any: ...
    def step(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...


def parameter_groups(model: LlinkModel, settings: StageBSettings) -> list[dict[str, Any]]:
    """Trainable parameters with their peak learning rates: adapters, and what the slot module names."""
    lora = [p for p in model.decoder.parameters() if p.requires_grad]
    adapters = {"params": lora, "lr": settings.lora_learning_rate, "weight_decay": settings.weight_decay}
    return [adapters, *model.slots.parameter_groups(settings)]


class PlainEngine:
    """One process, torch alone: a notebook, a test, a machine without DeepSpeed."""

    def __init__(
        self, objective: Objective, optimizer: torch.optim.Optimizer, clip: float, accumulation: int = 1
    ) -> None:
        self.objective, self.optimizer, self.clip = objective.train(), optimizer, clip
        self.accumulation, self._seen = accumulation, 0

    def __call__(self, *args: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The objective's forward."""
        result: tuple[torch.Tensor, dict[str, torch.Tensor]] = self.objective(*args)
        return result

    def backward(self, loss: torch.Tensor) -> None:
        """Add this micro-batch's gradient."""
        (loss / self.accumulation).backward()

    def step(self) -> None:
        """Update at the end of an accumulation."""
        self._seen += 1
        if self._seen % self.accumulation:
            return
        trained = [p for g in self.optimizer.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(trained, self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def train(self, mode: bool = True) -> None:
        """Training, or looking."""
        self.objective.train(mode)


class StageB:
    """The loop's body: batch ``step`` through the engine; place in the schedule is the step alone."""

    def __init__(
        self,
        engine: Engine,
        optimizer: Any,
        source: ExampleSource,
        foreign: Features,
        teacher: torch.Tensor,
        settings: StageBSettings,
        device: torch.device,
    ) -> None:
        self.engine, self.optimizer, self.source = engine, optimizer, source
        self.foreign, self.teacher, self.settings, self.device = foreign, teacher, settings, device
        self.peaks = [g["lr"] for g in optimizer.param_groups]
        self.step = 0

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.settings.steps

    def advance(self) -> dict[str, float]:
        """One optimizer step; returns the loss of the whole batch and its parts."""
        s = self.settings
        factor = warm_cosine(self.step, s.steps, round(s.warmup_fraction * s.steps))
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        with_usage = bool(s.usage.every and s.usage.weight and self.step % s.usage.every == 0)
        total: dict[str, float] = {}
        micros = self.source.step(self.step, *world())
        for micro in micros:
            sources, teacher = self._gathered(micro)
            loss, parts = self.engine(
                micro.prompts.to(self.device),
                sources,
                teacher,
                micro.words.to(self.device),
                micro.sentences.to(self.device),
                micro.scale,
                micro.row_scale,
                with_usage,
            )
            self.engine.backward(loss)
            self.engine.step()
            for name, value in {"loss": loss.detach(), **{f"loss/{k}": v for k, v in parts.items()}}.items():
                total[name] = total.get(name, 0.0) + float(value) / len(micros)
        self.step += 1
        return {**mean_over_workers(total), "learning_rate": self.peaks[0] * factor}

    @torch.no_grad()
    def held_out(self, batches: Sequence[tuple[Prompts, Encoded]]) -> float:
        """Mean nats a token of examples that are not trained on; every worker looks at the same.

        Through the engine: weights that ZeRO 3 has spread are found nowhere else.
        """
        self.engine.train(False)
        nats, predicted = 0.0, 0
        for prompts, sources in batches:
            _, parts = self.engine(prompts.to(self.device), sources.to(self.device))
            nats += float(parts["supervised"])
            predicted += int((prompts.labels >= 0).sum())
        self.engine.train()
        return nats / max(1, predicted)

    def _gathered(self, micro: MicroBatch) -> tuple[Encoded, torch.Tensor]:
        sources = load_sources(self.foreign, micro.pairs.numpy(), micro.slot_counts)
        return sources.to(self.device), self.teacher[micro.pairs].to(self.device)


def load_sources(
    features: Features, rows: npt.NDArray[np.int64], slot_counts: torch.Tensor | Sequence[int]
) -> Encoded:
    """Features of some rows as the model takes them, and how many slots stand for each."""
    tokens, mask = (None, None)
    if features.tokens is not None:
        tokens, mask = (torch.from_numpy(part) for part in features.tokens.gather(rows))
    counts = torch.as_tensor(slot_counts, dtype=torch.long)
    return Encoded(torch.from_numpy(features.vectors[rows]), tokens, mask, slot_counts=counts)
