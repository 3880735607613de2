"""What a teacher's read-out does to Stage B: the same Stage B after Stage A with each of several teachers.

    LLINK_DATA=… python benchmarks/real_stage_b.py --language ne --steps 60 \
        --teachers mean:6,token,none

A teacher is ``mean:LAYER``, ``token`` (the paper's, raw), or ``none`` (no Stage A). All else is equal: pairs,
steps, seeds, slots, rates. Validation loss in nats a token, and what another sentence's slots cost, go to
stderr as they come; one JSON line to stdout.
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
from real_corpora import corpus, data_folder
from real_features import features

from llink_ray.corpus.pair import Pair
from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import LlinkModel, collate, new_slots, with_lora
from llink_ray.prompts.instructions import translation_examples
from llink_ray.settings import Settings, configure
from llink_ray.text.languages import find
from llink_ray.training import losses
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.examples import ExampleSource, sentence_numbers, tokenise
from llink_ray.training.stage_a import StageA, new_projector, prepare_alignment, validate
from llink_ray.training.stage_b import Objective, PlainEngine, StageB, load_sources, parameter_groups

TEACHERS = {
    "token": ["decoder.teacher={read_out: token, layer: null}", "projector.teacher_norm=none"],
    "none": ["stage_a.enabled=false"],
}
HELD_OUT = 64


def assigned(teacher: str) -> list[str]:
    """The settings that a teacher's name stands for."""
    if teacher.startswith("mean:"):
        return [f"decoder.teacher={{read_out: mean, layer: {int(teacher.removeprefix('mean:'))}}}"]
    return TEACHERS[teacher]


def stage_a(settings: Settings, pairs: list[Pair], store: Path) -> Any:
    """The projector that Stage A leaves, and retrieval on the last pairs."""
    n = len(pairs) - HELD_OUT
    foreign = torch.from_numpy(features(store, settings, "encoder", [p.foreign for p in pairs]).vectors[:])
    teacher = torch.from_numpy(features(store, settings, "teacher", [p.english for p in pairs]).vectors[:])
    projector = new_projector(foreign.shape[1], teacher.shape[1], settings)
    data = AlignmentData(foreign[:n], teacher[:n], sentence_numbers(pairs[:n]))
    stage = StageA(projector, prepare_alignment(projector, data, settings.stage_a), settings.stage_a, 0)
    while settings.stage_a.enabled and not stage.done:
        stage.advance()
        if stage.step % settings.stage_a.planned_evaluation_interval(n) == 0:
            stage.record_validation(validate(projector, foreign[n:], teacher[n:]))
    stage.keep_best()
    return projector, projector.normalise(teacher), validate(projector, foreign[n:], teacher[n:]).r1


def run(settings: Settings, pairs: list[Pair], code: str, store: Path, steps: int) -> list[dict[str, float]]:
    """Stage B after Stage A; figures on the last pairs as it goes."""
    torch.manual_seed(0)
    language, n = find(code), len(pairs) - HELD_OUT
    projector, teacher, r1 = stage_a(settings, pairs, store)
    read = features(store, settings, "encoder+tokens", [p.foreign for p in pairs])
    decoder = Decoder.load(settings.decoder)
    torch.manual_seed(0)
    assert read.tokens is not None
    slots = new_slots(decoder, settings, read.tokens.dim)
    model = LlinkModel(with_lora(decoder.model, settings.lora), projector, slots)
    stage_b = settings.stage_b.model_copy(update={"steps": steps})
    source = ExampleSource(pairs[:n], decoder.prompt_builder, stage_b, settings.slots, 0, language)
    optimizer = torch.optim.AdamW(parameter_groups(model, stage_b), betas=(0.9, 0.98))
    engine = PlainEngine(Objective(model, stage_b), optimizer, stage_b.clip)
    stage = StageB(engine, optimizer, source, read, teacher, stage_b, torch.device("cpu"))
    asked = translation_examples(pairs[n:], HELD_OUT)
    rows = tokenise(decoder.prompt_builder, asked, settings.slots, language)
    prompts = collate([r.prompt for r in rows], [r.answer for r in rows])
    counts = [count for row in rows for count in row.slot_counts]
    sources = load_sources(read, np.arange(n, len(pairs)), counts)
    told, started = [], time.monotonic()
    for step in range(1, steps + 1):
        stage.advance()
        if step % max(1, steps // 4) and step != steps:
            continue
        engine.train(False)
        with torch.inference_mode():
            made = model.soft_slots(sources)
            nats = []
            for used in (made, made.with_vectors(made.vectors.roll(1, 0))):
                at = losses.predicting(prompts.labels)
                logits = model.decode(model.embed(prompts, used), prompts.mask, at)
                sums, tokens = losses.supervised(logits, prompts.labels)
                nats.append(float(sums.sum() / tokens.sum()))
        engine.train()
        told.append(
            {
                "step": step,
                "loss": round(nats[0], 3),
                "another's": round(nats[1], 3),
                "stage_a_r1": round(r1, 3),
                "seconds": round(time.monotonic() - started, 1),
            }
        )
        print(settings.decoder.teacher.read_out, settings.decoder.teacher.layer, told[-1], file=sys.stderr)
    return told


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Teachers' read-outs in Stage B.")
    parser.add_argument("--data")
    parser.add_argument("--language", default="ne")
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--longest", type=int, default=90, help="English characters")
    parser.add_argument("--teachers", default="mean:6,token,none")
    parser.add_argument("--store", type=Path, default=Path("runs/real/features"))
    given = parser.parse_args()
    torch.set_num_threads(2)
    made = corpus(data_folder(given.data), given.language, 100_000)
    pairs = [p for p in made.train if 20 <= len(p.english) <= given.longest][: given.pairs]
    results = {}
    for teacher in given.teachers.split(","):
        common = ["stage_a.english=false", *assigned(teacher)]
        settings = configure.resolve(*configure.layers("small", None, common))
        results[teacher] = run(settings, pairs, given.language, given.store, given.steps)
    print(json.dumps({"language": given.language, "pairs": len(pairs) - HELD_OUT, "teachers": results}))


if __name__ == "__main__":
    main()
