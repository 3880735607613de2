"""What ``test_distributed`` runs in one process and in two: a Stage A, and the gradient of Stage B."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, collate
from llink_ray.models.projector import Projector
from llink_ray.models.slots import slot_module
from llink_ray.prompts import SLOT_ID
from llink_ray.settings import ProjectorSettings, SlotSettings, StageASettings, StageBSettings, UsageSettings
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.collective import mean_over_workers, world
from llink_ray.training.examples import Scales
from llink_ray.training.stage_a import StageA
from llink_ray.training.stage_b import Objective

DIM, WIDE, VOCABULARY, SLOTS, BATCH = 6, 8, 30, 2, 6


def start(rank: int, workers: int, folder: str) -> None:
    """The body of one of ``workers`` processes; the first leaves what came out."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=workers)
    result = {**stage_a(), **stage_b("shuffle"), **stage_b("mean"), **stage_b("shuffle", "pooled")}
    save_file(result, Path(folder) / f"rank-{rank}.safetensors")
    dist.barrier()
    dist.destroy_process_group()


def stage_a() -> dict[str, torch.Tensor]:
    """Weights and losses after some steps on 26 pairs, the queue and a repeated sentence among them."""
    torch.manual_seed(0)
    foreign, teacher = torch.randn(26, DIM), torch.randn(26, WIDE)
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=10, dropout=0.0))
    projector.fit_normalisation(foreign)
    data = AlignmentData(foreign, teacher, torch.arange(26) // 2)
    given = StageASettings(steps=12, batch_size=BATCH, warmup_steps=2, queue=20, hard_negatives=4)
    stage = StageA(projector, data, given, seed=0)
    losses = [stage.advance()["loss"] for _ in range(12)]
    weights = {f"a.{name}": value.detach().clone() for name, value in projector.state_dict().items()}
    return {**weights, "a.losses": torch.tensor(losses), "a.queue": stage.projections.vectors.clone()}


class FakeDecoder(nn.Module):
    """Anything causal with a ``transformers`` face."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDE)
        self.adapter = nn.Linear(WIDE, WIDE)
        self.head = nn.Linear(WIDE, VOCABULARY, bias=False)

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> SimpleNamespace:
        seen = inputs_embeds * attention_mask[..., None]
        mean = seen.cumsum(1) / attention_mask.cumsum(1).clamp(min=1)[..., None]
        return SimpleNamespace(logits=self.head(torch.tanh(self.adapter(mean)) + seen))


def stage_b(ablation: str, variant: str = "resampler") -> dict[str, torch.Tensor]:
    """Loss and gradients of one step over a batch of ``BATCH``, averaged over the workers as engines do."""
    torch.manual_seed(1)
    pooled = variant == "pooled"
    wanted = SlotSettings(variant=variant, count=9 if pooled else SLOTS, heads=2, layers=1, hidden=5)
    slots = slot_module(wanted, WIDE, DIM)
    projector = Projector(DIM, WIDE, ProjectorSettings(hidden=10, dropout=0.0))
    model = LlinkModel(FakeDecoder(), projector, slots)
    counts = [1, 2, 1, 3, 1, 1]  # foreign sentences of each message: 4 with one worker, 5 with the other
    # The widest text of one worker has 4 slots, of the other 6.
    widths = torch.tensor([2, 3, 4, 2, 3, 2, 6, 2, 5]) if pooled else torch.full((sum(counts),), SLOTS)
    places = [int(part.sum()) + 2 * len(part) for part in widths.split(counts)]
    rows = [
        [*torch.randint(0, VOCABULARY, (1 + i % 3,)).tolist(), *[SLOT_ID] * count, 3]
        for i, count in enumerate(places)
    ]
    answers = [torch.randint(0, VOCABULARY, (1 + i % 4,)).tolist() for i in range(BATCH)]
    total = sum(counts)
    vectors, tokens = torch.randn(total, DIM), torch.randn(total, 4, DIM)
    mask = torch.arange(4) < torch.randint(1, 5, (total, 1))
    teacher, words = torch.randn(total, WIDE), torch.randint(0, VOCABULARY, (total, 3))
    sentences = torch.tensor([0, 1, 2, 3, 1, 0, 4, 5, 2])  # the same English with different workers
    given = StageBSettings(
        cosine_weight=0.3,
        contrastive_weight=0.5,
        bag_of_words_weight=0.2,
        usage=UsageSettings.model_validate({"every": 1, "weight": 0.7, "ablation": ablation}),
    )

    rank, workers = world()
    key = f"b.{variant}.{ablation}"
    mine = slice(rank * BATCH // workers, (rank + 1) * BATCH // workers)
    held = slice(sum(counts[: mine.start]), sum(counts[: mine.stop]))
    loss, parts = Objective(model, given)(
        collate(rows[mine], answers[mine]),
        Encoded(vectors[held], tokens[held], mask[held], slot_counts=widths[held] if pooled else None),
        teacher[held],
        words[held],
        sentences[held],
        Scales(workers / sum(map(len, answers)), workers / BATCH, workers / total),
        with_usage=True,
    )
    loss.backward()
    figures = {"loss": loss.detach(), **parts}
    told = mean_over_workers({name: float(value) for name, value in figures.items()})
    found = {f"{key}.{name}": torch.tensor([value]) for name, value in told.items()}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            if workers > 1:
                dist.all_reduce(parameter.grad)
            found[f"{key}.grad.{name}"] = parameter.grad / workers
    return found
