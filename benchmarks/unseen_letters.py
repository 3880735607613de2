"""Answers to one text, and to the same text with letters that nobody sees.

    python benchmarks/unseen_letters.py runs/registry/*/v0001
    python benchmarks/unseen_letters.py BUNDLE --count 40

For each bundle of an embedded language: how many of so many questions of the phrasebook are answered rightly,
and how many answers are the same after each of twelve changes of the text. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import llink_ray
from llink_ray.corpus import phrasebook


def _within(letter: str) -> Callable[[str], str]:
    return lambda text: f"{text[: len(text) // 2]}{letter}{text[len(text) // 2 :]}"


CHANGES: dict[str, Callable[[str], str]] = {
    "U+FEFF before": lambda text: f"\ufeff{text}",
    "U+200E before": lambda text: f"\u200e{text}",
    "U+202B before, not closed": lambda text: f"\u202b{text}",
    "U+2066 … U+2069 around": lambda text: f"\u2066{text}\u2069",
    "U+200B behind": lambda text: f"{text}\u200b",
    "U+17B4 behind": lambda text: f"{text}\u17b4",
    "U+061C within": _within("\u061c"),
    "U+2063 within": _within("\u2063"),
    "U+00AD within": _within("\u00ad"),
    "U+200D and U+200C around": lambda text: f"\u200d{text}\u200c",
    "U+00A0 for blanks": lambda text: text.replace(" ", "\u00a0"),
    "U+0F0C for U+0F0B": lambda text: text.replace("\u0f0b", "\u0f0c"),
}


def figures(bundle: str, count: int) -> dict[str, object]:
    """Right answers, and by change the answers that are the same."""
    taught = llink_ray.load(bundle)
    asked = [p for p in phrasebook.pairs(taught.language, 400, 991) if p.questions][:count]

    def answers(change: Callable[[str], str]) -> list[str]:
        return taught.answer_all([(p.questions[0].instruction, change(p.foreign)) for p in asked])

    plain = answers(lambda text: text)
    right = sum(a == p.questions[0].answer for a, p in zip(plain, asked, strict=True))
    same = {name: sum(map(str.__eq__, answers(change), plain)) for name, change in CHANGES.items()}
    for name, number in same.items():
        print(f"{taught.language}  {name:<28}{number:>4} of {len(asked)} the same", file=sys.stderr)
    return {"language": taught.language, "asked": len(asked), "right": right, "same": same}


def main() -> None:
    """Measure the bundles that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args()
    print(json.dumps([figures(bundle, given.count) for bundle in given.bundles]))


if __name__ == "__main__":
    main()
