"""How well a bundle tells text that it knows from text that it does not: shares told to be outside.

    LLINK_DATA=… python benchmarks/known_text.py --languages bo,km,am,ka
    LLINK_DATA=… python benchmarks/known_text.py --languages ne,km --preset small --store runs/real/features

For a preset of the embedded world: known are the phrasebook's training and validation sentences, as a
training takes them; asked about are its test sentences, which should be inside, and the real text of the data
folder, none of which such a bundle can read. With ``--store``, for a preset of real models over the lists of
``benchmarks/real_corpora.py``, whose features are taken from there or computed: known is the training text;
its test list is of the same sources, ``news`` of sources that are held out. One JSON line on stdout.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

import torch
from real_corpora import corpus, data_folder
from real_features import features, foreign

from llink_ray.corpus import prepare
from llink_ray.corpus.read import read
from llink_ray.models.encoder import Encoder
from llink_ray.models.novelty import NoveltyDetector
from llink_ray.settings import Settings, configure
from llink_ray.text.languages import find

ASKED = 800
"""Sentences of each kind at most."""


def embedded(code: str, settings: Settings, data: Path) -> dict[str, torch.Tensor]:
    """Vectors of the phrasebook's sentences and of real text."""
    encoder, rng = Encoder.load(settings.encoder), random.Random(0)

    def vectors(texts: list[str]) -> torch.Tensor:
        parts = [encoder.encode(texts[i : i + 64]).vectors for i in range(0, len(texts), 64)]
        return torch.cat(parts)

    splits = prepare(find(code), settings.corpus, settings.seed).splits
    known = [pair.foreign for pair in [*splits.train, *splits.validation]]
    real = [pair.foreign for pair in read(str(data / "parallel" / f"{code}.tsv")) if pair.foreign]
    return {
        "known": vectors(known),
        "test": vectors([pair.foreign for pair in splits.test[:ASKED]]),
        "real": vectors(rng.sample(real, min(ASKED, len(real)))),
    }


def stored(code: str, settings: Settings, data: Path, store: Path, most: int) -> dict[str, torch.Tensor]:
    """Vectors of real text by the lists that it is divided into."""
    made = corpus(data, code, most)
    rows = torch.from_numpy(features(store, settings, "encoder", foreign(made)).vectors[:])
    sizes = [len(made.train), len(made.validation), len(made.test), len(made.news)]
    train, validation, test, news = rows.split(sizes)
    return {"known": torch.cat([train, validation]), "test": test, "news": news}


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Shares of texts told to be outside the training text.")
    parser.add_argument("--data")
    parser.add_argument("--languages", default="bo,km,am,ka")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--most", type=int, default=10_000, help="training pairs of a language, with --store")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = configure.resolve(*configure.layers(given.preset, None, []))
    layers, data, found = len(settings.encoder.layers) or 1, data_folder(given.data), {}
    for code in given.languages.split(","):
        parts = (
            stored(code, settings, data, given.store, given.most)
            if given.store
            else embedded(code, settings, data)
        )
        known = NoveltyDetector.fit(parts.pop("known"), layers)
        assert known is not None, "a corpus to train on is large enough"
        found[code] = {
            name: {"texts": len(rows), "outside": round(sum(known.outside(rows)) / len(rows), 4)}
            for name, rows in parts.items()
            if len(rows)
        }
        print(code, found[code], file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "known_text", "preset": given.preset, "share outside": found}))


if __name__ == "__main__":
    main()
