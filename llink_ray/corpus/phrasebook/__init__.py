"""The embedded corpora: small synchronous grammars in real languages.

``pairs("bo", 12_000, seed=0)`` writes sentences of Tibetan with their English and with questions
whose answers are known. Sentences are divided for good by a hash of their English: those of part
``build`` made the embedded models, those of part ``bundle`` train and evaluate bundles.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from importlib import resources
from typing import Literal

from llink_ray.corpus.pair import Pair
from llink_ray.corpus.phrasebook import world as _world
from llink_ray.corpus.phrasebook.template import Word, fill
from llink_ray.errors import LlinkError

Part = Literal["build", "bundle"]


def languages() -> list[str]:
    """ISO codes of the languages with an embedded phrasebook."""
    folder = resources.files("llink_ray.corpus.phrasebook").joinpath("languages")
    return sorted(
        f.name.removesuffix(".yaml")
        for f in folder.iterdir()
        if f.name.endswith(".yaml") and f.name[0] != "."
    )


def part_of(english: str) -> Part:
    """Which part a sentence belongs to, for every language and seed alike."""
    digest = hashlib.sha256(english.casefold().encode()).digest()
    return "build" if digest[0] < 128 else "bundle"


def _foreign_roles(clause: _world.Clause, language: dict[str, dict[str, object]]) -> dict[str, Word]:
    roles: dict[str, Word] = {}
    for role, (category, key) in clause.concepts.items():
        entry = language[category][key]
        roles[role] = {"form": entry} if isinstance(entry, str) else entry  # type: ignore[assignment]
    if clause.number is not None:
        digits = str(language.get("digits", "0123456789"))
        written = str(clause.number).translate({ord("0") + i: digits[i] for i in range(10)})
        roles["number"] = {"form": written, "agree": "one" if clause.number == 1 else "many"}
    return roles


def stream(code: str, seed: int, part: Part) -> Iterator[Pair]:
    """Distinct pairs without end, the same for the same arguments."""
    if code not in languages():
        raise LlinkError(
            f"there is no embedded phrasebook for {code!r}: give --corpus FILE, or one of "
            f"{', '.join(languages())}"
        )
    language = _world.load(f"languages/{code}.yaml")
    rng = random.Random(f"{code}:{seed}:{part}")
    names = list(language["names"])
    seen: set[str] = set()
    while True:
        clause = _world.draw_clause(rng, names)
        english = _world.english(clause)
        if english in seen or part_of(english) != part:
            continue
        seen.add(english)
        template = rng.choice(language["patterns"][clause.pattern])
        foreign = fill(template, _foreign_roles(clause, language))
        yield Pair(foreign, english, _world.questions(clause, rng))


def pairs(code: str, count: int, seed: int = 0, part: Part = "bundle") -> list[Pair]:
    """``count`` distinct pairs of language ``code``."""
    source = stream(code, seed, part)
    return [next(source) for _ in range(count)]
