"""``paper_table.yaml``, checked before any work, and the commands that carry it out."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, field_validator

from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.evaluation.baselines import OURS, expand
from llink_ray.settings import Section, configure
from llink_ray.text.languages import Language, find

ROOT = Path(__file__).resolve().parents[2]


class Part(Section):
    """One comparison, in some languages and with some seeds."""

    languages: str
    """Names or codes with commas between, or ``all`` embedded ones."""
    against: str
    """Baselines and ablations with commas between."""
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

    def systems(self) -> list[str]:
        """Ours and the others.

        Raises:
            LlinkError: an unknown name, or none.
        """
        names = expand(self.against)
        if not names:
            raise LlinkError("against: name at least one baseline")
        return [OURS, *names]

    def check(self) -> None:
        """Every name and setting.

        Raises:
            LlinkError: what is wrong.
        """
        self.chosen()
        self.systems()
        configure.resolve(*configure.layers(self.preset, None, self.assignments()))

    def assignments(self) -> list[str]:
        """``set`` as ``KEY=VALUE``."""
        return [f"{key}={json.dumps(value)}" for key, value in self.set.items()]


class Plan(Section):
    """The whole of ``paper_table.yaml``."""

    table: Part
    seeds: Part | None = None
    """Other seeds of some systems; they enter the targets beside ``table``."""
    ablations: Part | None = None
    at_once: PositiveInt = 1
    """Languages measured at once, each with a share of the cores: tiny models hardly gain by two threads."""

    def parts(self) -> dict[str, Part]:
        """By name."""
        named = {"table": self.table, "seeds": self.seeds, "ablations": self.ablations}
        return {name: part for name, part in named.items() if part is not None}


@dataclass(frozen=True)
class Step:
    """One call of ``jobs/evaluate.py``: a part with one of its seeds, in one language."""

    part: str
    seed: int
    language: str
    """Code."""
    folder: Path
    """Where its runs and comparisons lie."""
    flags: tuple[str, ...]
    comparison: Path
    """The folder of its own."""
    systems: tuple[str, ...]
    """Ours and the others."""

    def document(self) -> dict[str, Any] | None:
        """What is measured already: a comparison with all of the systems; None where there is none.

        Raises:
            LlinkError: a document that is damaged.
        """
        run = RunDir(self.comparison)
        if not run.document.exists():
            return None
        document: dict[str, Any] = run.read_json(run.document)
        return document if set(self.systems) <= set(document["contestants"]) else None


def read_plan(path: str) -> Plan:
    """The plan of a file, every name and setting in it checked.

    Raises:
        LlinkError: what is wrong, and in which part.
    """
    tree = configure.read_file(path, Plan)
    try:
        plan = configure.validated(Plan, tree)
    except LlinkError as error:
        raise LlinkError(f"{path}: {error}") from None
    for name, part in plan.parts().items():
        try:
            part.check()
        except LlinkError as error:
            raise LlinkError(f"{path}, {name}: {error}") from None
    return plan


def _threads(at_once: int) -> int:
    return max(1, (os.cpu_count() or 1) // at_once)


def steps(plan: Plan, output: Path) -> list[Step]:
    """The calls in order. All share one store of features."""
    found = []
    for name, part in plan.parts().items():
        for seed, code in ((seed, language.code) for seed in part.seeds for language in part.chosen()):
            folder = output / name / f"seed-{seed}"
            flags = (
                f"--lang={code}",
                f"--against={part.against}",
                f"--preset={part.preset}",
                f"--seed={seed}",
                f"--output={folder}",
                "--judge=reference",
                "--set",
                f"features.directory={json.dumps(str(output / 'features'))}",
                *(word for given in part.assignments() for word in ("--set", given)),
                *(("--set", f"cluster.threads={_threads(plan.at_once)}") if plan.at_once > 1 else ()),
            )
            place = folder / "comparisons" / f"{code}-{part.preset}"
            found.append(Step(name, seed, code, folder, flags, place, tuple(part.systems())))
    return found
