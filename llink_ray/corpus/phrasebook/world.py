"""What the phrasebooks talk about: concepts, clause patterns, questions (``world.yaml``)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from llink_ray.corpus.pair import Question
from llink_ray.corpus.phrasebook.template import Word, fill


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing said: a pattern with a concept for each role, in no language yet.

    ``concepts`` maps role to (category, concept key); the number stands apart as an integer.
    """

    pattern: str
    concepts: dict[str, tuple[str, str]]
    number: int | None


@cache
def load(name: str) -> dict[str, Any]:
    """One of the YAML files of this package, parsed once."""
    text = resources.files("llink_ray.corpus.phrasebook").joinpath(name).read_text("utf-8")
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def world() -> dict[str, Any]:
    """The concepts and patterns that all languages share."""
    return load("world.yaml")


def draw_number(rng: random.Random) -> int:
    """0 to 9 999, each count of digits equally often."""
    digits = rng.randint(1, 4)
    return rng.randrange(0 if digits == 1 else 10 ** (digits - 1), 10**digits)


def draw_clause(rng: random.Random, names: list[str]) -> Clause:
    """A clause by chance; persons are roles (the teacher) or one of the language's ``names``."""
    patterns = world()["patterns"]
    pattern = rng.choices(list(patterns), [spec["share"] for spec in patterns.values()])[0]
    concepts: dict[str, tuple[str, str]] = {}
    number = None
    for role, category in patterns[pattern]["roles"].items():
        if category == "number":
            number = draw_number(rng)
            continue
        if category.endswith("?"):
            category = category[:-1]
            if rng.random() < 0.5:
                continue
        used = set(concepts.values())
        while True:
            if category == "person" and rng.random() < 0.4:
                concept = ("names", rng.choice(names))
            else:
                concept = (category, rng.choice(list(world()[category])))
            if concept not in used:
                break
        concepts[role] = concept
    return Clause(pattern, concepts, number)


def english_roles(clause: Clause) -> dict[str, Word]:
    """The English word of each role."""
    roles: dict[str, Word] = {}
    for role, (category, key) in clause.concepts.items():
        entry: str | dict[str, str] = key if category == "names" else world()[category][key]
        roles[role] = {"form": entry} if isinstance(entry, str) else entry
    if clause.number is not None:
        plurality = "one" if clause.number == 1 else "many"
        roles["number"] = {"form": str(clause.number), "agree": plurality}
    roles.update(world()["agreement"])
    return roles


def sentence_case(text: str) -> str:
    """First letter up."""
    return text[:1].upper() + text[1:]


def english(clause: Clause) -> str:
    """The clause as an English sentence."""
    return sentence_case(fill(world()["patterns"][clause.pattern]["english"], english_roles(clause)))


def questions(clause: Clause, rng: random.Random) -> tuple[Question, ...]:
    """Every question that this clause answers, each in one of its wordings, with its answer."""
    spec = world()["patterns"][clause.pattern]
    roles = english_roles(clause)
    wordings = world()["instructions"]
    templates = dict(spec["questions"])
    questions = [Question(kind, rng.choice(wordings[kind]), fill(t, roles)) for kind, t in templates.items()]
    for kind in ("summarise", "title"):
        answer = sentence_case(fill(spec[kind], roles))
        questions.append(Question(kind, rng.choice(wordings[kind]), answer))
    return tuple(questions)
