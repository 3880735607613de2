"""What a sweep was asked to do, as it is kept in ``sweep.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.sweeps.objective import Objective
from llink_ray.sweeps.space import SearchSpace
from llink_ray.sweeps.trials import JOINT

FILE = "sweep.json"
_FORMAT = 2
"""1 had a journal of its own; Optuna's came with 2."""


@dataclass(frozen=True)
class SweepConfig:
    """A sweep's own settings."""

    space: SearchSpace
    languages: tuple[str, ...]
    joint: bool
    """One setting for all languages, by the mean of its ranks; else each language has a study of its own."""
    trials: int
    """In each study."""
    objectives: tuple[Objective, ...]
    algorithm: str
    seed: int
    prune: bool
    window: int
    """A suggestion knows trials from this many places before it on."""
    evaluations: int = 10
    """In each stage."""
    stage_b: bool = False
    """Whether trials need more than Stage A."""
    max_concurrent: int | None = None
    base_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings that the searched ones are laid over, by language."""
    feature_store: str = ""
    forwards: int = 0
    """Forwards of frozen models so far."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Language codes, or ``joint`` alone."""
        return (JOINT,) if self.joint else self.languages

    def languages_of(self, study: str) -> tuple[str, ...]:
        """Languages that each trial of a study is trained in."""
        return self.languages if study == JOINT else (study,)

    def write(self, folder: Path) -> None:
        """Write ``sweep.json`` whole."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record |= {"space": self.space.to_json(), "objectives": [o.name for o in self.objectives]}
        path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(json.dumps({"format": _FORMAT} | record, indent=1), encoding="utf-8")
        temporary.replace(path)


def read_config(folder: Path) -> SweepConfig:
    """The configuration of the sweep in ``folder``.

    Raises:
        LlinkError: it holds no sweep, or one of another version.
    """
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise LlinkError(
            f"{folder} is not the directory of a sweep: it has no {FILE} that can be read"
        ) from None
    if not isinstance(record, dict) or record.pop("format", None) != _FORMAT:
        raise LlinkError(
            f"sweep {folder} was begun by another version, whose trials this one cannot read: its "
            "best*.yaml and report.md stay good; begin a new sweep, which finds the features again"
        )
    record |= {
        "space": SearchSpace.from_json(record["space"]),
        "languages": tuple(record["languages"]),
        "objectives": tuple(map(Objective, record["objectives"])),
    }
    return SweepConfig(**record)
