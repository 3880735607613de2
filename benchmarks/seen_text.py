"""How well a bundle recognises the text it was trained on: recall on edited sentences, precision on others.

    python benchmarks/seen_text.py --data "$LLINK_DATA" --files parallel/ne.tsv parallel-more/ne.tsv

The pairs of the files (TSV or JSONL, of one language) are cleaned and split as for a training. Known are
those of train and validation. Recall: 1 000 of them, both sides changed so that only the likeness of the
English can tell, by kind of change and length of the sentence. Precision: the test pairs, none of which
shares a sentence with a known one; one that is told to be a near-duplicate is rightly so if its letters are
by .85 those of the known sentence most like it, in order (difflib's ratio). Prints a Markdown table on stderr
and one JSON line on stdout.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from llink_ray.corpus import Pair
from llink_ray.corpus.clean import clean
from llink_ray.corpus.minhash import signatures
from llink_ray.corpus.read import read
from llink_ray.corpus.seen import SeenText
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.corpus.split import split
from llink_ray.errors import LlinkError
from llink_ray.settings import CorpusSettings
from llink_ray.text import languages

LENGTHS = ((1, 8), (8, 16), (16, 1_000))
"""Words of a sentence, from and below."""
SAMPLE = 1_000
SAME = 0.85


def _punctuation(text: str, _: random.Random) -> str:
    return re.sub(r"[^\w\s]", "", text) + "!"


def _letter(text: str, rng: random.Random) -> str:
    places = [i for i, letter in enumerate(text) if letter.isalpha()]
    place = rng.choice(places)
    return text[:place] + rng.choice("etaoin") + text[place + 1 :]


def _dropped(text: str, rng: random.Random) -> str:
    words = text.split()
    del words[rng.randrange(len(words))]
    return " ".join(words)


def _replaced(count: int) -> Callable[[str, random.Random], str]:
    def change(text: str, rng: random.Random) -> str:
        words = text.split()
        for place in rng.sample(range(len(words)), min(count, len(words))):
            words[place] = rng.choice(("river", "because", "small", "teacher", "going", "under", "house"))
        return " ".join(words)

    return change


CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "punctuation": _punctuation,
    "upper case": lambda text, _: text.upper(),
    "digits": lambda text, rng: re.sub(r"\d", lambda _: str(rng.randrange(10)), text) + " 12",
    "one letter": _letter,
    "one word dropped": _dropped,
    "one word replaced": _replaced(1),
    "two words replaced": _replaced(2),
}


def recalls(seen: SeenText, known: Sequence[Pair], rng: random.Random) -> dict[str, dict[str, float | None]]:
    """Share of changed sentences that are recognised, by change and number of words."""
    found: dict[str, dict[str, float | None]] = {}
    pairs = [
        pair
        for pair in rng.sample(list(known), min(SAMPLE, len(known)))
        if re.search(r"[^\W\d]", pair.english)
    ]
    for name, change in CHANGES.items():
        changed = [
            replace(pair, foreign=f"{i}", english=change(pair.english, rng)) for i, pair in enumerate(pairs)
        ]
        told = seen.near_duplicates(changed)
        lengths = np.array([len(pair.english.split()) for pair in pairs])
        rows: dict[str, float | None] = {"all": float(told.mean())}
        for low, high in LENGTHS:
            mine = told[(lengths >= low) & (lengths < high)]
            rows[f"{low} to {high - 1} words" if high < 1_000 else f"{low} words or more"] = (
                float(mine.mean()) if len(mine) else None
            )
        found[name] = rows
    return found


def precision(seen: SeenText, known: Sequence[Pair], others: Sequence[Pair]) -> dict[str, Any]:
    """Of pairs that share no sentence with a known one: how many are told, and how many rightly."""
    told = np.flatnonzero(seen.near_duplicates(others))
    ordered = list(known)
    signed = signatures([_plain(pair.english) for pair in ordered])
    right, wrong = 0, []
    for i in told[:300]:
        nearest = (signed == signatures([_plain(others[i].english)])[0]).sum(1).argmax()
        one, other = _plain(others[i].english), _plain(ordered[nearest].english)
        if SequenceMatcher(None, one, other, autojunk=False).ratio() >= SAME:
            right += 1
        else:
            wrong.append((others[i].english, ordered[nearest].english))
    looked = min(len(told), 300)
    return {
        "asked": len(others),
        "told": len(told),
        "precision": right / looked if looked else None,
        "wrong": wrong[:5],
    }


def _plain(text: str) -> str:
    return "".join(letter for letter in sentence_key(text) if not letter.isdecimal())


def measure(files: Sequence[Path]) -> dict[str, Any]:
    """Figures of the files of one language together."""
    language, settings = languages.find(files[0].stem), CorpusSettings(detect_language=False)
    cleaned = clean((pair for file in files for pair in read(str(file))), language, settings)
    parts = split(cleaned.kept, settings.test_fraction, settings.validation_fraction)
    known = [*parts.train, *parts.validation]
    started = time.monotonic()
    seen = SeenText.of(known)
    made = time.monotonic() - started
    rng = random.Random(0)
    found = {"recall": recalls(seen, known, rng), "precision": precision(seen, known, parts.test)}
    started = time.monotonic()
    seen.near_duplicates(parts.test)
    asked = time.monotonic() - started
    size = seen.sentences.nbytes + seen.english.nbytes
    return {
        "benchmark": "seen_text",
        "files": [file.name for file in files],
        "pairs": len(known),
        "bytes_a_pair": round(size / len(known), 1),
        "seconds_to_make": round(made, 2),
        "seconds_for_test_pairs": round(asked, 2),
        **found,
    }


def table(found: dict[str, Any]) -> Iterator[str]:
    """Markdown rows of the recalls."""
    columns = list(next(iter(found["recall"].values())))
    yield "| changed | " + " | ".join(columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for name, row in found["recall"].items():
        cells = ("–" if row[column] is None else f"{row[column]:.3f}" for column in columns)
        yield f"| {name} | " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of real text")
    parser.add_argument(
        "--files", nargs="+", required=True, help="in it, of one language: its code in the name"
    )
    asked = parser.parse_args(arguments)
    try:
        found = measure([asked.data / name for name in asked.files])
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(table(found)), file=sys.stderr)
    print(json.dumps(found, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
