"""Real parallel text for the benchmarks: read, cleaned and divided by source.

The folder is given as an argument or by ``LLINK_DATA``; it holds ``parallel/<code>.tsv`` and, optionally,
``parallel-more/<code>.tsv`` with columns ``source``, ``en`` and ``foreign``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from llink_ray.corpus.clean import clean
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.read import read
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.settings import CorpusSettings
from llink_ray.text.languages import find

NEWS = ("sib200_train", "sib200_dev", "sib200_test", "floresv1_dev", "floresv1_devtest", "floresv1_test")
"""Sources that stand for text never trained on: sentences of news and encyclopedias."""
EIGHT = ("ne", "te", "ml", "bn", "km", "my", "am", "ka")


@dataclass
class Corpus:
    """Pairs of one language; no sentence of either side stands in two of the lists."""

    language: str
    train: list[Pair] = field(default_factory=list)
    validation: list[Pair] = field(default_factory=list)
    test: list[Pair] = field(default_factory=list)
    """Of the sources trained on."""
    news: list[Pair] = field(default_factory=list)
    """Of sources never trained on."""


def data_folder(given: str | None) -> Path:
    """The folder of real text, or the end of the program in one sentence."""
    named = given or os.environ.get("LLINK_DATA")
    if not named or not Path(named, "parallel").is_dir():
        sys.exit("error: no real text: give --data FOLDER, or set LLINK_DATA, with parallel/<code>.tsv in it")
    return Path(named)


def corpus(folder: Path, code: str, most: int, tested: int = 1_024, validated: int = 512) -> Corpus:
    """The language's pairs in hash order, at most ``most`` of them to train on."""
    pairs: list[Pair] = []
    for part in ("parallel", "parallel-more"):
        path = folder / part / f"{code}.tsv"
        if path.is_file():
            pairs += read(str(path))
    kept = sorted(clean(pairs, find(code), CorpusSettings()).kept, key=_order)
    made, taken = Corpus(code), set[str]()
    # Held-out lists are filled first, and what shares a sentence with one of them is nowhere else.
    lists = ((made.news, tested, True), (made.test, tested, False), (made.validation, validated, False))
    for into, most_of_it, news in lists:
        for pair in kept:
            if len(into) == most_of_it:
                break
            if (pair.source in NEWS) is news and taken.isdisjoint(_keys(pair)):
                into.append(pair)
                taken.update(_keys(pair))
    for pair in kept:
        if len(made.train) < most and pair.source not in NEWS and taken.isdisjoint(_keys(pair)):
            made.train.append(pair)
    return made


def _keys(pair: Pair) -> tuple[str, str]:
    return sentence_key(pair.foreign), sentence_key(pair.english)


def _order(pair: Pair) -> bytes:
    joined = f"{pair.foreign}\0{pair.english}".encode()
    return hashlib.blake2b(joined, digest_size=8).digest()
