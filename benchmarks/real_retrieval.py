"""Stage A on real text: R@1 of 1 024 by language, in domain and on sources never trained on.

    LLINK_DATA=… python benchmarks/real_features.py            # first: features, once
    LLINK_DATA=… python benchmarks/real_retrieval.py --languages km,ne
    LLINK_DATA=… python benchmarks/real_retrieval.py --preset small-paper-recipe --languages km

Beside each figure stands the encoder's own foreign -> English retrieval on the same pairs, as it is and with
both sides' means taken off. Intervals are bootstrapped over the pairs. A markdown table goes to stderr, one
JSON line to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from real_corpora import EIGHT, Corpus, corpus, data_folder
from real_features import english, features, foreign

from llink_ray.metrics.intervals import PairedBootstrap, means
from llink_ray.metrics.retrieval import rank
from llink_ray.settings import Settings, configure
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.examples import sentence_numbers
from llink_ray.training.stage_a import (
    StageA,
    new_projector,
    prepare_alignment,
    project,
    seed_worker,
    validate,
)

Vectors = npt.NDArray[np.float32]


def summary(queries: Vectors, targets: Vectors) -> dict[str, Any]:
    """R@1 with its interval."""
    hits = rank(queries, targets).first()
    one = PairedBootstrap(len(hits), seed=0, draws=2_000).resample(means(hits)).estimate
    return {
        "r1": round(one.value, 3),
        "interval": [round(one.low, 3), round(one.high, 3)],
        "pairs": len(hits),
    }


def own_retrieval(queries: Vectors, targets: Vectors, centres: Sequence[Vectors]) -> dict[str, Any]:
    """The encoder's, as it is and with the training text's means taken off."""
    return {
        "encoder": summary(queries, targets),
        "encoder, centred": summary(queries - centres[0], targets - centres[1]),
    }


def last_layer(rows: Vectors, settings: Settings) -> Vectors:
    """The encoder's own sentence vector: the last of the layers that stand side by side."""
    layers = len(settings.encoder.layers) or 1
    return rows[:, -rows.shape[1] // layers :]


class Loaded:
    """Features of one language, in the order train, validation, in domain, news."""

    def __init__(self, settings: Settings, store: Path, made: Corpus) -> None:
        self.code, self.pairs = made.language, made.train
        n, m, t = len(made.train), len(made.validation), len(made.test)
        self.foreign = features(store, settings, "encoder", foreign(made)).vectors[:]
        self.teacher = features(store, settings, "teacher", english(made)).vectors[:]
        self.english = features(store, settings, "encoder", english(made)).vectors[:]
        self.train, self.validation = slice(0, n), slice(n, n + m)
        self.lists = {"in domain": slice(n + m, n + m + t), "news": slice(n + m + t, len(self.foreign))}


def train(settings: Settings, languages: Sequence[Loaded]) -> tuple[StageA, list[list[float]], float]:
    """Stage A on the pairs of one language, or of several together; its curve, and seconds."""

    def rows(side: str, part: str) -> torch.Tensor:
        joined = np.concatenate([getattr(one, side)[getattr(one, part)] for one in languages])
        return torch.from_numpy(joined)

    torch.set_num_threads(1)
    started = time.monotonic()
    inputs, teacher = rows("foreign", "train"), rows("teacher", "train")
    projector = new_projector(inputs.shape[1], teacher.shape[1], settings)
    pairs = [pair for one in languages for pair in one.pairs]
    data = AlignmentData(inputs, teacher, sentence_numbers(pairs))
    data = prepare_alignment(projector, data, settings.stage_a, rows("english", "train"))
    stage = StageA(projector, data, settings.stage_a, settings.seed)
    seed_worker(settings)
    held_out, curve = (rows("foreign", "validation"), rows("teacher", "validation")), []
    start = validate(projector, *held_out)
    stage.record_validation(start)
    curve.append([0, round(start.r1, 3)])
    while not stage.done:
        stage.advance()
        if (
            stage.step % settings.stage_a.planned_evaluation_interval(len(pairs)) == 0
            or stage.step == stage.steps
        ):
            look = validate(projector, *held_out)
            stage.record_validation(look)
            curve.append([stage.step, round(look.r1, 3)])
    stage.keep_best()
    return stage, curve, time.monotonic() - started


def measured(settings: Settings, stage: StageA, one: Loaded) -> dict[str, Any]:
    """R@1 on the language's two held-out lists, with the encoder's own beside it."""
    projector, found_by_list = stage.projector, {}
    normal = projector.normalise(torch.from_numpy(one.teacher)).numpy()
    own, own_english = last_layer(one.foreign, settings), last_layer(one.english, settings)
    centres = own[one.train].mean(0), own_english[one.train].mean(0)
    for name, rows in one.lists.items():
        queries = project(projector, one.foreign[rows]).numpy()
        found_by_list[name] = {
            "stage A": summary(queries, normal[rows]),
            **own_retrieval(own[rows], own_english[rows], centres),
        }
    return found_by_list


def run(settings: Settings, languages: Sequence[Loaded]) -> dict[str, Any]:
    """Train once, measure in each language."""
    stage, curve, seconds = train(settings, languages)
    told = {
        "pairs": sum(len(one.pairs) for one in languages),
        "steps": stage.step,
        "best": stage.best.score and round(stage.best.score[0], 3),
        "seconds": round(seconds, 1),
        "validation": curve,
    }
    return {one.code: told | measured(settings, stage, one) for one in languages}


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    head = "| | pairs | steps | in domain | encoder | centred | news | encoder | centred |"
    lines = [head, "|---|" + "---:|" * 8]
    for code, one in results.items():
        cells = [f"{one['pairs']:,}", f"{one['steps']:,}"]
        for name in ("in domain", "news"):
            for who in ("stage A", "encoder", "encoder, centred"):
                cells.append(f"{one[name][who]['r1']:.3f}")
        lines.append(f"| {code} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Stage A on real text.")
    parser.add_argument("--data")
    parser.add_argument("--languages", default=",".join(EIGHT))
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--train", type=int, help="of those, train on the first so many")
    parser.add_argument("--joined", action="store_true", help="one projector for all the languages")
    parser.add_argument("--store", type=Path, default=Path("runs/real/features"))
    parser.add_argument("--preset", default="small", help="or small-paper-recipe")
    parser.add_argument("--set", action="append", default=[], dest="assigned")
    given = parser.parse_args()
    settings = configure.resolve(*configure.layers(given.preset, None, given.assigned))
    results: dict[str, Any] = {}
    codes = given.languages.split(",")
    for group in [codes] if given.joined else [[code] for code in codes]:
        loaded = []
        for code in group:
            made = corpus(data_folder(given.data), code, given.most)
            loaded.append(Loaded(settings, given.store, made))
        if given.train:
            for one in loaded:
                one.train, one.pairs = slice(0, given.train), one.pairs[: given.train]
        results |= run(settings, loaded)
        print(table({code: results[code] for code in group}), file=sys.stderr, flush=True)
    print(table(results), file=sys.stderr)
    print(
        json.dumps(
            {"recipe": given.preset, "set": given.assigned, "joined": given.joined, "languages": results}
        )
    )


if __name__ == "__main__":
    main()
