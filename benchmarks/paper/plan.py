"""What ``paper_table.yaml`` asks for, checked before any work, and the commands that carry it out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from llink_ray import configure, phrasebook
from llink_ray.cluster.rundir import RunDir
from llink_ray.errors import LlinkError
from llink_ray.evaluation.contestants import OURS, expand
from llink_ray.languages import Language, find
from llink_ray.settings import Section

ROOT = Path(__file__).resolve().parents[2]


class Part(Section):
    """One comparison, in some languages and with some seeds."""

    languages: str
    """Names or codes with commas between, or ``all`` embedded ones."""
    against: str
    """Contestants with commas between."""
    preset: str = "tiny"
    """Recipe of our run."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Each has runs of its own."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings over the preset, ``stage_b.steps: 400``."""

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed once")
        return seeds

    def chosen(self) -> list[Language]:
        """The languages, each once.

        Raises:
            LlinkError: an unknown name, or none.
        """
        every = self.languages.strip().casefold() == "all"
        names = phrasebook.languages() if every else self.languages.split(",")
        found = {(language := find(name)).code: language for name in names if name.strip()}
        if not found:
            raise LlinkError("languages: name at least one, or 'all'")
        return list(found.values())

    def contestants(self) -> list[str]:
        """Ours and the others.

        Raises:
            LlinkError: an unknown name, or none.
        """
        found = expand(self.against)
        if not found:
            raise LlinkError("against: name at least one contestant")
        return [OURS, *found]

    def check(self) -> None:
        """Every name and setting.

        Raises:
            LlinkError: what is wrong.
        """
        self.chosen()
        self.contestants()
        configure.resolve(*configure.layers(self.preset, None, self.assignments()))

    def assignments(self) -> list[str]:
        """``set`` as ``KEY=VALUE``."""
        return [f"{key}={json.dumps(value)}" for key, value in self.set.items()]


class Plan(Section):
    """The whole of ``paper_table.yaml``."""

    table: Part
    seeds: Part | None = None
    """Other seeds of some contestants; they enter the bars beside ``table``."""
    ablations: Part | None = None

    def parts(self) -> dict[str, Part]:
        """By name."""
        named = {"table": self.table, "seeds": self.seeds, "ablations": self.ablations}
        return {name: part for name, part in named.items() if part is not None}


@dataclass(frozen=True)
class Step:
    """One call of ``jobs/evaluate.py``: a part with one of its seeds, in all its languages."""

    part: str
    seed: int
    folder: Path
    """Where its runs and comparisons lie."""
    flags: tuple[str, ...]
    comparisons: dict[str, Path]
    """Each language's folder, by code."""
    contestants: tuple[str, ...]
    """Ours and the others."""

    def documents(self) -> dict[str, dict[str, Any]]:
        """What is measured already, by language: comparisons with every contestant asked for.

        Raises:
            LlinkError: a document that is damaged.
        """
        found = {}
        for code, folder in self.comparisons.items():
            run = RunDir(folder)
            if not run.document.exists():
                continue
            document = run.read_json(run.document)
            if set(self.contestants) <= set(document["contestants"]):
                found[code] = document
        return found


def read_plan(path: str) -> Plan:
    """The plan of a file, every name and setting in it checked.

    Raises:
        LlinkError: what is wrong, and in which part.
    """
    tree = configure.read_file(path)
    try:
        plan = configure.checked(Plan, tree)
    except LlinkError as error:
        raise LlinkError(f"{path}: {error}") from None
    for name, part in plan.parts().items():
        try:
            part.check()
        except LlinkError as error:
            raise LlinkError(f"{path}, {name}: {error}") from None
    return plan


def steps(plan: Plan, output: Path) -> list[Step]:
    """The calls in order. All share one store of features."""
    found = []
    for name, part in plan.parts().items():
        codes = [language.code for language in part.chosen()]
        for seed in part.seeds:
            folder = output / name / f"seed-{seed}"
            flags = (
                f"--lang={','.join(codes)}",
                f"--against={part.against}",
                f"--preset={part.preset}",
                f"--seed={seed}",
                f"--output={folder}",
                "--judge=reference",
                "--set",
                f"features.directory={json.dumps(str(output / 'features'))}",
                *(word for given in part.assignments() for word in ("--set", given)),
            )
            places = {code: folder / "comparisons" / f"{code}-{part.preset}" for code in codes}
            found.append(Step(name, seed, folder, flags, places, tuple(part.contestants())))
    return found
