"""The run directory: what a run was asked for, what it did, what it left."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llink_ray.corpus.pair import Pair, Question
from llink_ray.errors import LlinkError
from llink_ray.settings import Settings

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class RunDir:
    """Paths and records of one run; every machine of the cluster sees it at the same place."""

    path: Path

    @property
    def record(self) -> Path:
        """What the run was asked for."""
        return self.path / "run.json"

    @property
    def history(self) -> Path:
        """Figures by step."""
        return self.path / "history.jsonl"

    @property
    def metrics(self) -> Path:
        """Figures at the end."""
        return self.path / "metrics.json"

    @property
    def bundle(self) -> Path:
        """What training leaves behind."""
        return self.path / "bundle"

    def write_json(self, path: Path, content: Any) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        temporary.replace(path)

    def read_json(self, path: Path) -> Any:
        """Content of a record.

        Raises:
            LlinkError: missing or damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LlinkError(f"{self.path} is not a run directory: it has no {path.name}") from None
        except ValueError:
            raise LlinkError(f"{path} is damaged (not JSON): start a new run without --resume") from None

    def write_pairs(self, split: str, pairs: Sequence[Pair]) -> None:
        """Keep the pairs as they were split, so that a resumed run trains on the same."""
        file = self.path / "pairs" / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)
        temporary.replace(file)

    def read_pairs(self, split: str) -> list[Pair]:
        """The pairs of a split."""
        pairs = []
        with (self.path / "pairs" / f"{split}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                fields = json.loads(line)
                questions = tuple(Question(**question) for question in fields.pop("questions"))
                pairs.append(Pair(**fields, questions=questions))
        return pairs

    def check_same(self, language: str, settings: Settings) -> None:
        """Refuse to go on in a directory that belongs to something else.

        Raises:
            LlinkError: names what differs.
        """
        told = self.read_json(self.record)
        if told["language"] != language:
            raise LlinkError(
                f"run {self.path} teaches {told['language']!r}, not {language!r}: name its own language, or "
                "start a new run without --resume"
            )
        mine, theirs = _flat(settings.model_dump(mode="json")), _flat(told["settings"])
        differing = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
        if differing:
            key = differing[0]
            raise LlinkError(
                f"run {self.path} was started with {key} = {theirs.get(key)!r}, not {mine.get(key)!r}"
                f"{f' (and {len(differing) - 1} more differ)' if len(differing) > 1 else ''}: "
                "resume without changing settings, or start a new run"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
