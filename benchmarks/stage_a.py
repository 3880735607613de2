"""Stage A over the paper's schedule: features computed once, against both models at every step.

    python benchmarks/stage_a.py                  # shapes of the paper's models, random weights
    python benchmarks/stage_a.py --models embedded
    LLINK_DATA=… python benchmarks/stage_a.py --models small --language ne   # preset small, real text

The schedule: 20 000 steps of 128 pairs over 100 000 pairs. Three rates are measured in one process, in
turns: pairs through both frozen models once (ours, batches by length), pairs through our Stage A step on
their features, and pairs through a loop like the authors' (micro-batches of 8; encoder, teacher and projector
for every pair at every step). What the schedule takes follows from them. One JSON line goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import shapes
import torch
from real_corpora import corpus, data_folder

from llink_ray.corpus import phrasebook
from llink_ray.corpus.pair import Pair
from llink_ray.features.extract import batches
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoder
from llink_ray.models.projector import Projector
from llink_ray.settings import Settings, TeacherSettings, configure
from llink_ray.training import losses
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.negative_queue import NegativeQueue
from llink_ray.training.stage_a import StageA

PAIRS, STEPS, BATCH, MICRO = 100_000, 20_000, 128, 8
BATCH_TOKENS = 8_192
QUEUE, HARD = 32_768, 256
"""Of the authors' loop."""


def settings_of(models: str, folder: Path) -> Settings:
    """Preset small as it is; or the paper's with models of its shapes, or with the embedded ones."""
    if models == "small":
        return configure.resolve(configure.preset("small"), {"stage_a": {"english": False}})
    named = {"encoder": {"model": "embedded"}, "decoder": {"model": "embedded"}}
    if models == "paper":
        encoder, decoder = shapes.write_encoder(folder / "encoder"), shapes.write_decoder(folder / "decoder")
        named = {"encoder": {"model": str(encoder), "pooling": "mean"}, "decoder": {"model": str(decoder)}}
    else:
        named["encoder"]["pooling"] = None  # type: ignore[assignment]
    return configure.resolve(configure.preset("paper"), named)


class Bench:
    """Models, text, and the three things that are timed."""

    def __init__(self, settings: Settings, pairs: Sequence[Pair]) -> None:
        self.settings = settings
        self.encoder, self.decoder = Encoder.load(settings.encoder), Decoder.load(settings.decoder)
        self.foreign, self.english = [p.foreign for p in pairs], [p.english for p in pairs]
        self.queue = NegativeQueue(QUEUE, self.decoder.dim)
        self.queue.push(torch.randn(QUEUE, self.decoder.dim), torch.arange(-QUEUE, 0))
        layers = len(settings.encoder.layers) or 1
        self.projector = Projector(self.encoder.dim, self.decoder.dim, settings.projector, layers)
        self.optimizer = torch.optim.AdamW(self.projector.parameters(), lr=1e-3)
        self.batch_size = settings.stage_a.batch_size
        n = 4 * self.batch_size
        foreign = torch.randn(n, self.encoder.dim)
        data = AlignmentData(foreign, torch.randn(n, self.decoder.dim), torch.arange(n))
        ours = Projector(self.encoder.dim, self.decoder.dim, settings.projector, layers)
        ours.fit_normalisation(foreign)
        self.stage = StageA(ours, data, settings.stage_a, 0)
        for queue in (self.stage.teachers, self.stage.projections):  # as full as it is for most of the run
            unit = torch.nn.functional.normalize(self.queue.vectors[: len(queue.ids)], dim=-1)
            queue.push(unit, self.queue.ids[: len(queue.ids)])

    def extract(self) -> int:
        """Both frozen models over all texts, as extraction does it; pairs done."""
        for group in batches(self.encoder.token_counts(self.foreign), BATCH_TOKENS):
            self.encoder.encode([self.foreign[i] for i in group])
        for group in batches(self.decoder.token_counts(self.english), BATCH_TOKENS):
            self.decoder.teacher_states([self.english[i] for i in group])
        return len(self.foreign)

    def step(self) -> int:
        """One step on features; pairs done."""
        self.stage.advance()
        return self.batch_size

    def loop(self) -> int:
        """Micro-batches of one step as in the authors' loop; pairs done.

        Negatives as METHOD's account of their code has it: of the batch of 8, and 256 of the queue that are
        chosen once for the batch by mean similarity; one direction.
        """
        settings = self.settings.stage_a
        for start in range(0, len(self.foreign), MICRO):
            part = slice(start, start + MICRO)
            vectors = self.encoder.encode(self.foreign[part]).vectors
            teacher = self.decoder.teacher_states(self.english[part], teacher=TeacherSettings())
            projected = self.projector(vectors)
            negatives = self.queue.contents()[0]
            unit = torch.nn.functional.normalize(projected, dim=-1)
            near = (unit.mean(0) @ torch.nn.functional.normalize(negatives, dim=-1).T).topk(HARD)
            keys = torch.cat([teacher, negatives[near.indices]])
            logits = unit @ torch.nn.functional.normalize(keys, dim=-1).T / settings.temperature_end
            loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(unit)))
            loss = loss + settings.direction_weight * losses.direction(projected, teacher)
            loss = loss + settings.norm_weight * losses.norm(projected, teacher)
            loss.backward()
            self.queue.push(teacher, torch.arange(len(unit)))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return len(self.foreign)


def rate(work: Callable[[], int]) -> float:
    """Pairs a second of one turn."""
    started = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - started)


def main() -> None:
    """Measure in turns, so that a noisy machine is noisy for all three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", choices=("paper", "embedded", "small"), default="paper")
    parser.add_argument("--data", help="folder of real text, for --models small")
    parser.add_argument("--language", default="ne", help="of the real text")
    parser.add_argument("--pairs", type=int, default=64, help="pairs in one turn of the frozen models")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        pairs: Sequence[Pair] = phrasebook.pairs("bo", asked.pairs, seed=0)
        if asked.models == "small":
            pairs = corpus(data_folder(asked.data), asked.language, asked.pairs).train
        bench = Bench(settings_of(asked.models, Path(folder)), pairs)
        work = {"extract": bench.extract, "step": bench.step, "loop": bench.loop}
        for one in work.values():  # warm
            one()
        turns = [{name: rate(one) for name, one in work.items()} for _ in range(asked.turns)]
    found = {name: statistics.median(turn[name] for turn in turns) for name in work}
    seen = STEPS * BATCH
    ours = PAIRS / found["extract"] + seen / found["step"]
    theirs = seen / found["loop"]
    print(
        f"models {asked.models}: pairs a second: extraction {found['extract']:.1f}, "
        f"our step {found['step']:.0f}, authors' loop {found['loop']:.1f}\n"
        f"the schedule: ours {ours / 3600:.1f} h, authors' {theirs / 3600:.1f} h: ratio {theirs / ours:.1f} "
        f"(limit {seen / PAIRS:.1f})",
        file=sys.stderr,
    )
    document = {"benchmark": "stage_a", "models": asked.models, "pairs_per_second": found, "turns": turns}
    print(
        json.dumps(
            {**document, "hours": {"ours": ours / 3600, "authors": theirs / 3600}, "ratio": theirs / ours}
        )
    )


if __name__ == "__main__":
    main()
