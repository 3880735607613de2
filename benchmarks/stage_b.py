"""Stage B: examples a second, ours against a step like the authors', and against plain LoRA fine-tuning.

    python benchmarks/stage_b.py                  # embedded models, preset tiny
    python benchmarks/stage_b.py --models small --batch-size 16    # the real pair of preset small
    python benchmarks/stage_b.py --models paper   # shapes of the paper's models, random weights: takes long

All three see the same examples, K slots or not, in one process, in turns. *Ours*: the step that trains,
on stored features, slots and ablated slots in one forward. *Authors'*: micro-batches of 8, the encoder
run for every example at every step, the usage term's second forward apart, a teacher state for every
example (their contrastive term's target). *PEFT*: the next-token loss alone on the same questions with
the English sentence in the prompt instead of slots, so that only slots, numerals and our further terms
are between the two. Text goes to stderr, one JSON line to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shapes
import torch
from torch.nn import functional as F

from llink_ray.corpus import phrasebook
from llink_ray.features import Features, RaggedRows, ShardedRows
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded, Encoder
from llink_ray.models.llink import LlinkModel, collate, new_slots, with_lora
from llink_ray.models.precision import computes_bf16
from llink_ray.models.projector import Projector
from llink_ray.prompts.instructions import training_examples
from llink_ray.settings import Settings, configure
from llink_ray.text.languages import find
from llink_ray.training import losses
from llink_ray.training.examples import ExampleSource, tokenise
from llink_ray.training.stage_b import Objective, PlainEngine, StageB, ablated, parameter_groups

LANGUAGE = find("km")
MICRO = 8
PAPER_SLOTS = 8


def dtype_of(settings: Settings) -> torch.dtype | None:
    """What Stage B computes in on this processor."""
    wanted = settings.deepspeed.bf16
    return torch.bfloat16 if (computes_bf16() if wanted is None else wanted) else None


def model_of(settings: Settings, encoder: Encoder, variant: str) -> tuple[Decoder, LlinkModel]:
    """A fresh decoder with fresh adapters and slots."""
    slots = {"variant": variant} | ({"count": PAPER_SLOTS} if variant == "mean" else {})
    tree = configure.merge(settings.model_dump(mode="json"), {"slots": slots})
    own = configure.resolve(tree)
    decoder = Decoder.load(own.decoder, dtype=dtype_of(own))
    decoder.prepare_training()
    torch.manual_seed(0)
    projector = Projector(encoder.dim, decoder.dim, own.projector, len(own.encoder.layers) or 1)
    module = new_slots(decoder, own, encoder.token_dim)
    return decoder, LlinkModel(with_lora(decoder.model, own.lora), projector, module).train()


class Bench:
    """Three ways to train on the same examples."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.encoder = Encoder.load(settings.encoder)
        self.pairs = phrasebook.pairs(LANGUAGE.code, 10 * settings.stage_b.batch_size, seed=0)
        self.counts = {"ours": 0, "authors": 0, "peft": 0}
        self.stage = self._ours()
        self.theirs, self.their_model = model_of(settings, self.encoder, "mean")
        self.plain, self.plain_model = model_of(settings, self.encoder, "none")
        self.optimizers = {
            "authors": torch.optim.AdamW(parameter_groups(self.their_model, settings.stage_b)),
            "peft": torch.optim.AdamW(parameter_groups(self.plain_model, settings.stage_b)),
        }
        self.frozen = Decoder.load(settings.decoder, dtype=dtype_of(settings))

    def _ours(self) -> StageB:
        decoder, model = model_of(self.settings, self.encoder, self.settings.slots.variant)
        encoded = self.encoder.encode([p.foreign for p in self.pairs], with_tokens=True)
        assert encoded.tokens is not None and encoded.mask is not None
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), encoded.mask.sum(1).cumsum(0)]).numpy()
        n = len(self.pairs)
        tokens = RaggedRows([(encoded.tokens[encoded.mask].numpy(), offsets)])
        features = Features("", "", ShardedRows([encoded.vectors.numpy()]), tokens)
        s = self.settings
        source = ExampleSource(self.pairs, decoder.prompt_builder, s.stage_b, s.slots, 0, LANGUAGE)
        optimizer = torch.optim.AdamW(parameter_groups(model, s.stage_b))
        engine = PlainEngine(Objective(model, s.stage_b), optimizer, s.stage_b.clip)
        teacher = torch.randn(n, decoder.dim)
        return StageB(engine, optimizer, source, features, teacher, s.stage_b, torch.device("cpu"))

    def ours(self) -> None:
        """One step of ours."""
        self.stage.advance()

    def _rows(self, name: str) -> list[Any]:
        size = self.settings.stage_b.batch_size
        start = self.counts[name] * size % len(self.pairs)
        self.counts[name] += 1
        drawn = training_examples(self.pairs, 0, 0, self.settings.stage_b.translate_share, 1)
        return drawn[start : start + size]

    def authors(self) -> None:
        """One step like theirs."""
        s, model = self.settings.stage_b, self.their_model
        examples = self._rows("authors")
        usage = s.usage.every > 0 and self.counts["authors"] % s.usage.every == 0
        slots_settings = self.settings.slots.model_copy(update={"variant": "mean", "count": PAPER_SLOTS})
        for start in range(0, len(examples), MICRO):
            part = examples[start : start + MICRO]
            rows = tokenise(self.theirs.prompt_builder, part, slots_settings, LANGUAGE)
            prompts = collate([r.prompt for r in rows], [r.answer for r in rows])
            sources = Encoded(self.encoder.encode([e.foreign for e in part]).vectors)
            teacher = self.frozen.teacher_states([e.english for e in part])
            projected = model.project(sources)
            slots = model.soft_slots(sources, projected)
            logits = model.decode(model.embed(prompts, slots), prompts.mask)
            at = losses.predicting(prompts.labels)
            nats, counts = losses.supervised(logits[at], prompts.labels)
            loss = nats.sum() / counts.sum()
            if usage:
                other = model.decode(model.embed(prompts, ablated(slots, "zero")), prompts.mask)
                without, _ = losses.supervised(other[at], prompts.labels)
                loss = loss + s.usage.weight * losses.usage(nats / counts, without / counts, 1.0).mean()
            own = torch.arange(len(part))
            mean = slots.mean()
            loss = loss + s.contrastive_weight * losses.contrastive(mean, teacher, own, 0.07)
            loss = loss + s.cosine_weight * (1 - F.cosine_similarity(mean, projected, dim=-1)).mean()
            loss.backward()
        self._update("authors")

    def peft(self) -> None:
        """One step of LoRA alone, the English in the prompt."""
        examples = self._rows("peft")
        prompt = self.plain.prompt_builder
        rows = [prompt.text_prompt(e.instruction, e.english) for e in examples]
        prompts = collate(rows, [prompt.answer_ids(e.answer) for e in examples])
        at = losses.predicting(prompts.labels)
        logits = self.plain_model.decode(self.plain_model.embed(prompts, None), prompts.mask, at)
        nats, counts = losses.supervised(logits, prompts.labels)
        (nats.sum() / counts.sum()).backward()
        self._update("peft")

    def _update(self, name: str) -> None:
        optimizer = self.optimizers[name]
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, self.settings.stage_b.clip)
        optimizer.step()
        optimizer.zero_grad()


def rate(work: Callable[[], None], steps: int, size: int) -> float:
    """Examples a second."""
    started = time.perf_counter()
    for _ in range(steps):
        work()
    return steps * size / (time.perf_counter() - started)


def main() -> None:
    """Measure in turns of three steps, so that each has its share of usage terms."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", choices=("embedded", "small", "paper"), default="embedded")
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        # Single sentences: what the authors' step takes.
        named: dict[str, Any] = {"stage_b": {"batch_size": asked.batch_size, "passage_share": 0.0}}
        if asked.models == "paper":
            places = shapes.write_encoder(Path(folder) / "e"), shapes.write_decoder(Path(folder) / "d")
            named["encoder"] = {"model": str(places[0]), "pooling": "mean"}
            named["decoder"] = {"model": str(places[1])}
        preset = "small" if asked.models == "small" else "tiny"
        bench = Bench(configure.resolve(configure.preset(preset), named))
        work = {"ours": bench.ours, "authors": bench.authors, "peft": bench.peft}
        for one in work.values():
            one()
        every = max(3, bench.settings.stage_b.usage.every)
        turns = [
            {k: rate(one, every, asked.batch_size) for k, one in work.items()} for _ in range(asked.turns)
        ]
    found = {name: statistics.median(turn[name] for turn in turns) for name in work}
    against = {name: found["ours"] / found[name] for name in ("authors", "peft")}
    told = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    ratios = f"ours / authors' {against['authors']:.2f}, ours / PEFT {against['peft']:.2f}"
    print(f"examples a second: {told}; {ratios}", file=sys.stderr)
    document = {"benchmark": "stage_b", "models": asked.models, "examples_per_second": found}
    print(json.dumps({**document, "ratio": against}))


if __name__ == "__main__":
    main()
