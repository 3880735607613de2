"""How often the language of real text is told: whole passages, snippets, mixed messages.

    python benchmarks/detection.py --data "$LLINK_DATA"

Reads ``parallel/<code>.tsv`` (columns source, en, foreign) of the folder, rows of SIB-200 only: none of
them was looked at when the distinctive letters and words of the table were chosen. Prints a Markdown table
on stderr and one JSON line on stdout.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import regex

from llink_ray.text.detection import detect, spans
from llink_ray.text.languages import DECODER_LANGUAGE, find

LENGTHS = (30, 10, 3)
CARRIERS = ("{english} {foreign}", "{foreign} {english}", "What does “{foreign}” mean? {english}")
LATIN = regex.compile(r"\p{Script=Latin}")


def passages(file: Path) -> list[tuple[str, str]]:
    """(English, foreign) of the SIB-200 rows."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["en"], row["foreign"]) for row in rows if row["source"].startswith("sib200")]


def snippet(text: str, length: int, rng: random.Random) -> str | None:
    """A random stretch of ``length`` letters with what stands between and on them; None if too short."""
    places = [i for i, letter in enumerate(text) if letter.isalpha()]
    if len(places) < length:
        return None
    first = rng.randrange(len(places) - length + 1)
    end = places[first + length] if first + length < len(places) else len(text)
    return text[places[first] : end]


def accuracy(texts: list[str], code: str) -> float:
    """Share of the texts taken for ``code``."""
    return sum(detect(text).code == code for text in texts) / len(texts)


def mixed(rows: list[tuple[str, str]], code: str, rng: random.Random) -> tuple[float, float]:
    """(share of letters given to the right language, share of messages with every letter right)."""
    right = letters = whole = 0
    for i, (_, foreign) in enumerate(rows):
        english = " ".join(rng.choice(rows)[0].split()[:12])
        message = CARRIERS[i % len(CARRIERS)].format(english=english, foreign=foreign)
        wanted = [DECODER_LANGUAGE.code if LATIN.match(letter) else code for letter in message]
        given = [span.code for span in spans(message) for _ in range(span.start, span.end)]
        hits = [a == b for a, b, letter in zip(wanted, given, message, strict=True) if letter.isalpha()]
        right, letters, whole = right + sum(hits), letters + len(hits), whole + all(hits)
    return right / letters, whole / len(rows)


def measure(file: Path, limit: int, seed: int) -> dict[str, float]:
    """The figures of one language."""
    rng = random.Random(seed)
    code = find(file.stem).code
    rows = passages(file)[:limit]
    pure = [(en, text) for en, text in rows if not LATIN.search(text)]
    started = time.perf_counter()
    figures: dict[str, float] = {"passages": len(rows), "whole": accuracy([text for _, text in rows], code)}
    figures["ms"] = 1000 * (time.perf_counter() - started) / len(rows)
    for length in LENGTHS:
        cut = [snippet(text, length, rng) for _, text in pure]
        figures[f"letters_{length}"] = accuracy([text for text in cut if text], code)
    figures["mixed_letters"], figures["mixed_messages"] = mixed(pure, code, rng)
    return figures


def english(file: Path, limit: int, seed: int) -> dict[str, float]:
    """The same for the English side, that is: how often English is left alone."""
    rng = random.Random(seed)
    texts = [en for en, _ in passages(file)[:limit]]
    figures: dict[str, float] = {"passages": len(texts), "whole": accuracy(texts, DECODER_LANGUAGE.code)}
    for length in LENGTHS:
        cut = [snippet(text, length, rng) for text in texts]
        figures[f"letters_{length}"] = accuracy([text for text in cut if text], DECODER_LANGUAGE.code)
    return figures


def table(languages: dict[str, dict[str, float]]) -> Iterator[str]:
    """Markdown."""
    columns = ["whole", *(f"letters_{n}" for n in LENGTHS), "mixed_letters", "mixed_messages"]
    yield "| | passages | " + " | ".join(column.replace("_", " ") for column in columns) + " |"
    yield "|---" * (len(columns) + 2) + "|"
    show: Callable[[float], str] = lambda share: f"{share:.3f}".removeprefix("0")  # noqa: E731
    for code, figures in languages.items():
        cells = [show(figures[column]) if column in figures else "" for column in columns]
        yield f"| {code} | {figures['passages']} | " + " | ".join(cells) + " |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with parallel/<code>.tsv")
    parser.add_argument("--limit", type=int, default=10_000, help="passages a language (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the snippets")
    given = parser.parse_args()
    files = sorted((given.data / "parallel").glob("*.tsv"))
    if not files:
        parser.error(f"no parallel/<code>.tsv in {given.data}")
    languages = {file.stem: measure(file, given.limit, given.seed) for file in files}
    languages[DECODER_LANGUAGE.code] = english(files[0], given.limit, given.seed)
    print("\n".join(table(languages)), file=sys.stderr)
    rounded = {code: {k: round(v, 4) for k, v in figures.items()} for code, figures in languages.items()}
    print(json.dumps({"benchmark": "detection", "seed": given.seed, "languages": rounded}))


if __name__ == "__main__":
    main()
