"""Stage B: slots and LoRA are trained on the supervised loss and a usage objective (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from llink_ray.features import Features
from llink_ray.models.decoder import without_adapters
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, Prompts
from llink_ray.models.slots import Slots
from llink_ray.settings import StageBSettings
from llink_ray.training import losses
from llink_ray.training.collective import gather, mean_over_workers, row_counts, world
from llink_ray.training.examples import UNSCALED, ExampleSource, Scales
from llink_ray.training.prefetch import Prefetcher
from llink_ray.training.schedule import warm_cosine
from llink_ray.training.telemetry import Metrics, Throughput, to_floats


def ablated(slots: Slots, how: str) -> Slots:
    """What replaces slots to measure their use.

    ``zero``; ``shuffle``: another row's slots; ``mean``: the batch's mean. Without gradient, so that the
    usage term cannot be lowered by making a neighbour's slots worse.
    """
    if how == "zero":
        return slots.with_vectors(torch.zeros_like(slots.vectors))
    # Workers' widest texts differ only where texts differ in their number of slots.
    widest = slots.width if slots.counts is None else max(row_counts(slots.width))
    gathered = gather(F.pad(slots.vectors, (0, 0, 0, widest - slots.width))).detach()  # (N_all, K, d)
    gathered = gathered[:, : slots.width]
    if how == "shuffle":
        first = sum(row_counts(len(slots))[: world()[0]])
        return slots.with_vectors(gathered.roll(1, 0)[first : first + len(slots)])
    return slots.with_vectors(gathered.mean(0, keepdim=True).expand_as(slots.vectors))


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
        scales: Scales = UNSCALED,
        english: Prompts | None = None,
        with_usage: bool = False,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of a micro-batch (scalar) and its parts.

        ``teacher`` is (N, d_dec), ``words`` (N, W), ``sentences`` (N,), ``english`` B prompts, as in
        :class:`MicroBatch`; without them the supervised part alone, in nats. B prompts hold N foreign
        sentences.
        """
        s, model = self.settings, self.model
        expected = None if english is None else self.read_english(english)  # (N, V)
        projected = model.project(sources)  # (N, d)
        slots = model.soft_slots(sources, projected)
        embedded, mask, labels = model.embed(prompts, slots), prompts.mask, prompts.labels
        with_usage = with_usage and slots.width > 0
        if with_usage:
            without = model.embed(prompts, ablated(slots, s.usage.ablation))
            embedded = torch.cat([embedded, without])  # (2B, S, d)
            mask, labels = mask.repeat(2, 1), labels.repeat(2, 1)
        logits = model.decode(embedded, mask, losses.predicting(labels))  # (N, V)
        nats, counts = losses.supervised(logits, labels)  # both (B or 2B,)
        size = len(prompts.ids)
        parts = {"supervised": nats[:size].sum() * scales.tokens}
        total = parts["supervised"]
        if expected is not None:
            parts["distillation"] = losses.divergence(logits[: len(expected)], expected).sum() * scales.tokens
            total = total + s.distillation_weight * parts["distillation"]
        if with_usage:
            mean = nats / counts.clamp(min=1)
            if s.usage.as_in_the_papers_code:
                term = losses.usage_as_in_the_papers_code(mean[:size], mean[size:])
            else:
                term = losses.usage(mean[:size], mean[size:], s.usage.margin)
            parts["usage"] = term.sum() * scales.examples
            total = total + s.usage.weight * parts["usage"]
        if slots.width > 0 and teacher is not None and words is not None and sentences is not None:
            total = total + self._alignment(
                slots, projected, teacher, words, sentences, scales.sentences, parts
            )
        return total, {name: value.detach() for name, value in parts.items()}

    @torch.no_grad()
    def read_english(self, prompts: Prompts) -> torch.Tensor:
        """Logits (N, V) at the answers' tokens of the decoder without adapters."""
        with without_adapters(self.model.decoder):
            embedded = self.model.embed(prompts, None)
            return self.model.decode(embedded, prompts.mask, losses.predicting(prompts.labels))

    def _alignment(
        self,
        slots: Slots,
        projected: torch.Tensor,
        teacher: torch.Tensor,
        words: torch.Tensor,
        sentences: torch.Tensor,
        scale: float,
        parts: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        """Terms that keep the slots near the Stage A vector and the English."""
        s, total = self.settings, projected.new_zeros(())
        mean = self.model.slots.summary(slots)  # (N, d)
        if s.cosine_weight:
            parts["cosine"] = (1 - F.cosine_similarity(mean, projected, dim=-1)).sum() * scale
            total = total + s.cosine_weight * parts["cosine"]
        if s.contrastive_weight:
            queries, targets, own = gather(mean), gather(teacher), gather(sentences)
            workers = world()[1]
            # Each worker holds the gradient of its own rows of the whole loss; engines average over workers.
            parts["contrastive"] = losses.contrastive(queries, targets, own, s.contrastive_temperature)
            scaled_up = parts["contrastive"] * workers - parts["contrastive"].detach() * (workers - 1)
            total = total + s.contrastive_weight * scaled_up
        if s.bag_of_words_weight or s.words_in_order_weight:
            # Slots have the norm of embeddings; the output layer expects the decoder's final scale.
            scaled = F.layer_norm(slots.vectors, slots.vectors.shape[-1:])
            head = self.model.decoder.get_output_embeddings()
            logits = head(scaled.to(head.weight.dtype)).float()  # (N, K, V)
            if s.bag_of_words_weight:
                parts["bag_of_words"] = losses.bag_of_words(logits, words, slots.counts).sum() * scale
                total = total + s.bag_of_words_weight * parts["bag_of_words"]
            if s.words_in_order_weight:
                parts["words_in_order"] = losses.words_in_order(logits, words, slots.counts).sum() * scale
                total = total + s.words_in_order_weight * parts["words_in_order"]
        return total


class Engine(Protocol):
    """What optimises the objective: DeepSpeed's engine, or :class:`PlainEngine`."""

    def __call__(self, *args: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]: ...
    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> Any: ...
    def backward(self, loss: torch.Tensor, *, scale_wrt_gas: bool) -> Any: ...
    def step(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def get_global_grad_norm(self) -> torch.Tensor | float | None: ...


def parameter_groups(model: LlinkModel, settings: StageBSettings) -> list[dict[str, Any]]:
    """Trainable parameters with their peak learning rates: adapters, and what the slot module names."""
    lora = [p for p in model.decoder.parameters() if p.requires_grad]
    adapters = {"params": lora, "lr": settings.lora_learning_rate, "weight_decay": settings.weight_decay}
    return [adapters, *model.slots.parameter_groups(settings)]


class PlainEngine:
    """One process, torch alone: a notebook, a test, a machine without DeepSpeed, whose methods it has.

    Of parameters in half precision the optimizer holds, and steps on, copies in float32.
    """

    def __init__(self, objective: Objective, optimizer: torch.optim.Optimizer, clip: float) -> None:
        self.objective, self.optimizer, self.clip = objective.train(), optimizer, clip
        self._at_boundary = True
        self._gradient_norm: torch.Tensor | None = None
        self._half: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Parameters in half precision, each with its copy."""
        for group in optimizer.param_groups:
            group["params"] = [self._full_precision(p) for p in group["params"]]

    def _full_precision(self, parameter: torch.Tensor) -> torch.Tensor:
        if parameter.dtype not in (torch.bfloat16, torch.float16):
            return parameter
        self._half.append((parameter, parameter.detach().float()))
        return self._half[-1][1]

    def __call__(self, *args: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The objective's forward."""
        result: tuple[torch.Tensor, dict[str, torch.Tensor]] = self.objective(*args)
        return result

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        """Say whether the next micro-batch is the last of its step."""
        self._at_boundary = is_boundary

    def backward(self, loss: torch.Tensor, scale_wrt_gas: bool = False) -> None:
        """Add this micro-batch's gradient, as it is: the loss is its share of the step's."""
        assert not scale_wrt_gas, "a step has as many micro-batches as it needs"
        loss.backward()

    def step(self) -> None:
        """Update at the end of a step."""
        if not self._at_boundary:
            return
        for parameter, copy in self._half:
            copy.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        trained = [p for g in self.optimizer.param_groups for p in g["params"]]
        self._gradient_norm = torch.nn.utils.clip_grad_norm_(trained, self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.write_back()

    @torch.no_grad()
    def write_back(self) -> None:
        """Round the copies into the parameters that the model computes with."""
        for parameter, copy in self._half:
            parameter.copy_(copy)

    @torch.no_grad()
    def read_weights(self) -> None:
        """Take the copies anew from parameters that something else has set."""
        for parameter, copy in self._half:
            copy.copy_(parameter)

    def train(self, mode: bool = True) -> None:
        """Training or evaluation mode."""
        self.objective.train(mode)

    def get_global_grad_norm(self) -> torch.Tensor | None:
        """Norm of the last step's gradient before clipping."""
        return self._gradient_norm


class StageB:
    """The step of Stage B: batch ``step`` through the engine; the schedule depends on the step alone."""

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
        self.batches = Prefetcher(self._prepare, settings.steps)
        self.throughput = Throughput()

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.settings.steps

    def advance(self) -> dict[str, torch.Tensor | float]:
        """One optimizer step; returns this worker's loss and its parts, learning rates, gradient norm."""
        s = self.settings
        factor = warm_cosine(self.step, s.steps, round(s.warmup_fraction * s.steps))
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        with_usage = bool(s.usage.every and s.usage.weight and self.step % s.usage.every == 0)
        total: dict[str, torch.Tensor | float] = {}
        micro_batches, examples, tokens = self.batches.take(self.step)
        for i, arguments in enumerate(micro_batches, 1):
            self.engine.set_gradient_accumulation_boundary(i == len(micro_batches))
            loss, parts = self.engine(*arguments, with_usage)
            self.engine.backward(loss / len(micro_batches), scale_wrt_gas=False)
            self.engine.step()
            for name, value in {"loss": loss.detach(), **{f"loss/{k}": v for k, v in parts.items()}}.items():
                total[name] = total.get(name, 0.0) + value.double() / len(micro_batches)
        self.step += 1
        workers = world()[1]
        self.throughput.count(examples * workers, tokens * workers, self.batches.wait_seconds)
        for name, peak in zip(("", "/slots", "/scale"), self.peaks, strict=False):
            total[f"learning_rate{name}"] = peak * factor
        norm = self.engine.get_global_grad_norm()
        return total if norm is None else {**total, "gradient_norm": norm}

    def reduce(self, metrics: Metrics) -> dict[str, float]:
        """The figures of :meth:`advance` as numbers, means over the workers, who call this together."""
        figures = to_floats(metrics)
        return {**figures, **mean_over_workers({k: v for k, v in figures.items() if k.startswith("loss")})}

    @torch.no_grad()
    def held_out(self, batches: Sequence[tuple[Prompts, Encoded]]) -> float:
        """Mean nats a token of held-out examples; every worker computes the same.

        Through the engine, because weights that ZeRO 3 has partitioned exist nowhere else.
        """
        self.engine.train(False)
        nats, predicted = 0.0, 0
        for prompts, sources in batches:
            _, parts = self.engine(prompts.to(self.device), sources.to(self.device))
            nats += float(parts["supervised"])
            predicted += int((prompts.labels >= 0).sum())
        self.engine.train()
        return nats / max(1, predicted)

    def _prepare(self, step: int) -> tuple[list[tuple[Any, ...]], int, int]:
        """Arguments of the objective, on the device, by micro-batch; this worker's examples and tokens."""
        device, micro_batches = self.device, self.source.step(step, *world())
        arguments = [
            (
                micro.prompts.to(device),
                load_sources(self.foreign, micro.pairs.numpy(), micro.slot_counts).to(device),
                self.teacher[micro.pairs].to(device),
                micro.words.to(device),
                micro.sentences.to(device),
                micro.scales,
                micro.english.to(device) if micro.english is not None else None,
            )
            for micro in micro_batches
        ]
        masks = [micro.prompts.mask for micro in micro_batches]
        return arguments, sum(map(len, masks)), sum(int(mask.sum()) for mask in masks)


def load_sources(
    features: Features, rows: npt.NDArray[np.int64], slot_counts: torch.Tensor | Sequence[int]
) -> Encoded:
    """Features of some rows as the model takes them, and how many slots stand for each."""
    tokens, mask = None, None
    if features.tokens is not None:
        tokens, mask = map(torch.from_numpy, features.tokens.gather(rows))
    counts = torch.as_tensor(slot_counts, dtype=torch.long)
    return Encoded(torch.from_numpy(features.vectors[rows]), tokens, mask, slot_counts=counts)
