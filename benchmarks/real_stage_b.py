"""What a setting does to Stage B on real text: the same few steps under each of several settings.

    LLINK_DATA=… python benchmarks/real_stage_b.py --language ne --steps 60 \
        --arm "from nothing: stage_b.embedding_start.passes=0" --arm "from embeddings:"
    … --arm "mean of layer 6:" --arm "the paper's teacher: decoder.teacher={read_out: token, layer: null}; \
        projector.teacher_norm=none" --arm "no Stage A: stage_a.enabled=false"

An arm is a name, a colon, and settings with semicolons between. All else is equal: pairs, steps, seeds. Of
pairs held out, in nats a token: the loss, and that with another sentence's slots in their place; slots a
sentence; and with ``--translate N`` chrF++ of N translations at the end. Lines go to stderr as they come, one
JSON line to stdout; ``--draw FILE`` draws loss and chrF++ of the arms against their slots.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from real_corpora import corpus, data_folder
from real_features import features

from llink_ray.bundles.base import load_modules, start_bundle
from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.corpus.pair import TRANSLATION_KIND, Pair
from llink_ray.features import Features
from llink_ray.metrics.answers import Answer, chrf
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded, Encoder
from llink_ray.models.llink import LlinkModel, Prompts, collate, new_slots, with_lora
from llink_ray.models.precision import computes_bf16
from llink_ray.models.projector import Projector
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION, translation_examples
from llink_ray.settings import Settings, configure
from llink_ray.text.languages import find
from llink_ray.training import losses
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.embedding_start import start_slots
from llink_ray.training.examples import ExampleSource, sentence_numbers, tokenise
from llink_ray.training.stage_a import StageA, new_projector, prepare_alignment, validate
from llink_ray.training.stage_b import Objective, PlainEngine, StageB, load_sources, parameter_groups

HELD_OUT = 64
BATCH = 16


def parsed(arm: str) -> tuple[str, list[str]]:
    """Name and settings of an arm."""
    name, _, settings = arm.partition(":")
    return name.strip(), [part.strip() for part in settings.split(";") if part.strip()]


def say(text: str) -> None:
    """Tell the person; stdout is for the last line."""
    print(text, file=sys.stderr, flush=True)


def read(settings: Settings, pairs: list[Pair], store: Path) -> dict[str, Features]:
    """Features of both sides, and the teacher's."""
    foreign, english = [p.foreign for p in pairs], [p.english for p in pairs]
    what = "encoder+tokens" if settings.slots.reads_tokens else "encoder"
    return {
        "foreign": features(store, settings, what, foreign),  # type: ignore[arg-type]
        "english": features(store, settings, what, english),  # type: ignore[arg-type]
        "teacher": features(store, settings, "teacher", english),
    }


def stage_a(settings: Settings, pairs: list[Pair], known: dict[str, Features]) -> tuple[Projector, float]:
    """The projector that Stage A leaves, and retrieval on the last pairs."""
    n = len(pairs) - HELD_OUT
    foreign, english, teacher = (
        torch.from_numpy(known[name].vectors[:]) for name in ("foreign", "english", "teacher")
    )
    projector = new_projector(foreign.shape[1], teacher.shape[1], settings)
    start = start_bundle(settings)
    if start is not None:
        load_modules(start, projector, None, None)
    data = AlignmentData(foreign[:n], teacher[:n], sentence_numbers(pairs[:n]))
    data = prepare_alignment(projector, data, settings.stage_a, english[:n], trained=start is not None)
    stage = StageA(projector, data, settings.stage_a, settings.seed)
    while settings.stage_a.enabled and not stage.done:
        stage.advance()
        if stage.step % settings.stage_a.planned_evaluation_interval(n) == 0:
            stage.record_validation(validate(projector, foreign[n:], teacher[n:]))
    stage.keep_best()
    return projector, validate(projector, foreign[n:], teacher[n:]).r1


class Arm:
    """Stage B under one set of settings."""

    def __init__(self, settings: Settings, pairs: list[Pair], code: str, store: Path) -> None:
        self.settings, self.pairs, self.language = settings, pairs, find(code)
        self.n = len(pairs) - HELD_OUT
        self.known = read(settings, pairs, store)
        projector, self.r1 = stage_a(settings, pairs, self.known)
        dtype = torch.bfloat16 if computes_bf16() else None
        self.decoder = Decoder.load(settings.decoder, dtype=dtype)
        self.decoder.prepare_training()
        torch.manual_seed(settings.seed)
        tokens = self.known["foreign"].tokens
        slots = new_slots(self.decoder, settings, tokens.dim if tokens is not None else 0)
        self.model = LlinkModel(with_lora(self.decoder.model, settings.lora), projector, slots)
        self._start()
        teacher = projector.normalise(torch.from_numpy(self.known["teacher"].vectors[:]))
        builder, stage = self.decoder.prompt_builder, settings.stage_b
        source = ExampleSource(pairs[: self.n], builder, stage, settings.slots, settings.seed, self.language)
        optimizer = torch.optim.AdamW(parameter_groups(self.model, stage), betas=stage.betas, foreach=False)
        engine = PlainEngine(Objective(self.model, stage), optimizer, stage.clip)
        device = torch.device("cpu")
        self.stage = StageB(engine, optimizer, source, self.known["foreign"], teacher, stage, device)

    def _start(self) -> None:
        start = start_bundle(self.settings)
        if start is not None:
            load_modules(start, None, self.model.slots, self.model.decoder)
        elif self.settings.starts_from_embeddings:
            rows, settings = range(self.n), self.settings
            sides = (self.known["foreign"], rows), (self.known["english"], rows)
            start_slots(
                self.model.slots,
                self.decoder,
                settings.encoder,
                self.pairs[: self.n],
                *sides,
                settings.stage_b.embedding_start,
                settings.seed,
            )

    def batches(self) -> list[tuple[Prompts, Encoded]]:
        """Translations of the held-out pairs."""
        asked = translation_examples(self.pairs[self.n :], HELD_OUT)
        rows = tokenise(self.decoder.prompt_builder, asked, self.settings.slots, self.language)
        made = []
        for start in range(0, HELD_OUT, BATCH):
            part = rows[start : start + BATCH]
            prompts = collate([r.prompt for r in part], [r.answer for r in part])
            counts = [count for row in part for count in row.slot_counts]
            places = np.arange(self.n + start, self.n + start + len(part))
            made.append((prompts, load_sources(self.known["foreign"], places, counts)))
        return made

    @torch.no_grad()
    def held_out(self) -> tuple[float, float]:
        """Nats a token with the sentences' own slots, and with another's."""
        self.stage.engine.train(False)
        sums, count = [0.0, 0.0], 0
        for prompts, sources in self.batches():
            slots, at = self.model.soft_slots(sources), losses.predicting(prompts.labels)
            for i, used in enumerate((slots, slots.with_vectors(slots.vectors.roll(1, 0)))):
                logits = self.model.decode(self.model.embed(prompts, used), prompts.mask, at)
                sums[i] += float(losses.supervised(logits, prompts.labels)[0].sum())
            count += int(at.sum())
        self.stage.engine.train()
        return sums[0] / count, sums[1] / count

    def slots(self) -> float:
        """Soft slots a held-out sentence."""
        return float(np.mean([self.settings.slots.slot_count(p.foreign) for p in self.pairs[self.n :]]))

    def chrf(self, most: int) -> float:
        """chrF++ of translations of held-out pairs."""
        encoder, pairs = Encoder.load(self.settings.encoder), self.pairs[self.n :][:most]
        self.stage.engine.train(False)
        pipeline = LlinkPipeline(encoder, self.decoder, self.model, self.settings, self.language.code)
        given = pipeline.translate([pair.foreign for pair in pairs])
        answers = [
            Answer(TRANSLATION_KIND, TRANSLATE_INSTRUCTION, pair.english, text)
            for pair, text in zip(pairs, given, strict=True)
        ]
        return chrf(answers, word_order=2)[0]


def run(name: str, arm: Arm, translate: int) -> list[dict[str, Any]]:
    """Figures as the steps go."""
    told: list[dict[str, Any]] = []
    spent, steps = 0.0, arm.settings.stage_b.steps
    for step in range(steps + 1):
        if step % max(1, steps // 4) == 0 or step == steps:
            own, other = arm.held_out()
            figures = {"step": step, "loss": round(own, 3), "another's": round(other, 3)}
            told.append({**figures, "stage_a_r1": round(arm.r1, 3), "seconds": round(spent, 1)})
            told[-1]["slots"] = round(arm.slots(), 1)
            if step == steps and translate:
                told[-1]["chrf++"] = round(arm.chrf(translate), 1)
            say(f"{name}: {told[-1]}")
        if step < steps:
            started = time.monotonic()
            arm.stage.advance()
            spent += time.monotonic() - started
    return told


def draw(file: Path, arms: dict[str, list[dict[str, Any]]]) -> None:
    """Loss and chrF++ at the end, against slots a sentence."""
    ends = sorted(((told[-1]["slots"], name, told[-1]) for name, told in arms.items()), key=lambda e: e[0])
    figure = Figure(figsize=(7, 3), layout="constrained")
    panels = [("loss", "loss, nats a token")] + [("chrf++", "chrF++")] * all("chrf++" in e[2] for e in ends)
    for axes, (key, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.plot([e[0] for e in ends], [e[2][key] for e in ends], marker="o", color="#2a6f97")
        for slots, name, told in ends:
            axes.annotate(
                name,
                (slots, told[key]),
                (0, 9),
                textcoords="offset points",
                fontsize=8,
                ha="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        axes.margins(0.2)
        axes.set(xlabel="soft slots a sentence", ylabel=label)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="The same steps of Stage B under several settings.")
    parser.add_argument("--data")
    parser.add_argument("--language", default="ne")
    parser.add_argument("--most", type=int, default=3_000, help="training pairs")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--arm", action="append", required=True, help="NAME: KEY=VALUE; KEY=VALUE")
    parser.add_argument("--store", type=Path, default=Path("runs/real/features"))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--set", action="append", default=[], dest="assigned", help="of every arm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--translate", type=int, default=0, metavar="N", help=f"of {HELD_OUT}")
    parser.add_argument("--draw", type=Path, metavar="FILE")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    made = corpus(data_folder(given.data), given.language, given.most)
    pairs = [*made.train, *made.test[:HELD_OUT]]
    arms = {}
    for name, assigned in map(parsed, given.arm):
        common = [f"stage_b.steps={given.steps}", *given.assigned, *assigned]
        settings = configure.resolve(*configure.layers(given.preset, None, common))
        arms[name] = run(name, Arm(settings, pairs, given.language, given.store), given.translate)
    if given.draw:
        draw(given.draw, arms)
    print(json.dumps({"language": given.language, "pairs": len(pairs) - HELD_OUT, "arms": arms}))


if __name__ == "__main__":
    main()
