"""Features of real text by a preset's frozen models, for the benchmarks on real languages.

    LLINK_DATA=… python benchmarks/real_features.py --languages km,ne --most 10000

Goes on where it was stopped. What was stored for one language or benchmark is not computed again for
another. Progress goes to stderr, one JSON line with the rates to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from real_corpora import EIGHT, Corpus, corpus, data_folder

from llink_ray.features import Features, FeatureSpec, FeatureStore
from llink_ray.features.extract import extract
from llink_ray.features.spec import What, extraction_dtype
from llink_ray.models.locate import fingerprint
from llink_ray.progress import progress_output
from llink_ray.settings import Settings, configure


def spec(settings: Settings, what: What, texts: Sequence[str]) -> FeatureSpec:
    """What is wanted of some texts."""
    part, model = ("decoder", settings.decoder) if what == "teacher" else ("encoder", settings.encoder)
    print_ = fingerprint(model.model, model.revision, part)
    size, dtype = settings.features.shard_size, extraction_dtype(settings)
    return FeatureSpec(what, tuple(texts), model, print_, size, dtype=dtype)


def features(store: Path, settings: Settings, what: What, texts: Sequence[str]) -> Features:
    """Features of texts, computed where they are not stored."""
    wanted = spec(settings, what, texts)
    if FeatureStore(store).missing(wanted):
        with progress_output(lambda line: print(line, file=sys.stderr, flush=True)):
            extract(str(store), [wanted], batch_tokens=settings.features.batch_tokens)
    return FeatureStore(store).finish(wanted)


def foreign(made: Corpus) -> list[str]:
    """Foreign sides of all lists, in their order."""
    return [p.foreign for part in (made.train, made.validation, made.test, made.news) for p in part]


def english(made: Corpus) -> list[str]:
    """English sides, likewise."""
    return [p.english for part in (made.train, made.validation, made.test, made.news) for p in part]


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Features of real text.")
    parser.add_argument("--data")
    parser.add_argument("--languages", default=",".join(EIGHT))
    parser.add_argument("--most", type=int, default=10_000, help="training pairs of a language")
    parser.add_argument("--store", type=Path, default=Path("runs/real/features"))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--set", action="append", default=[], dest="assigned")
    parser.add_argument("--what", default="foreign,teacher,english")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    settings = configure.resolve(*configure.layers(given.preset, None, given.assigned))
    rates = {}
    for code in given.languages.split(","):
        made = corpus(data_folder(given.data), code, given.most)
        print(f"{code}: {len(made.train):,} pairs to train on", file=sys.stderr, flush=True)
        for what in given.what.split(","):
            texts = foreign(made) if what == "foreign" else english(made)
            kind: What = "teacher" if what == "teacher" else "encoder"
            started = time.monotonic()
            features(given.store, settings, kind, texts)
            rates[f"{code} {what}"] = round(len(texts) / (time.monotonic() - started), 1)
    print(json.dumps({"texts per second": rates}))


if __name__ == "__main__":
    main()
