"""The run directory: what a run was asked for, what it did, what it left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.split import UNSEEN
from llink_ray.errors import LlinkError
from llink_ray.settings import Settings
from llink_ray.storage.atomic import atomic_file, disk_refused


class _Below:
    """A path below a run directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunDir, _: type[RunDir]) -> Path:
        return run.path / self._name


@dataclass(frozen=True)
class RunDir:
    """Paths and records of one run, which every machine of the cluster sees at the same path."""

    path: Path

    record = _Below("run.json")
    """What the run was asked for."""
    history = _Below("history.jsonl")
    """Figures by step."""
    metrics = _Below("metrics.json")
    """Figures at the end."""
    bundle = _Below("bundle")
    """The bundle with its figures."""
    draft = _Below("draft")
    """Trained weights that are not measured yet."""
    document = _Below("document.json")
    """The job's JSON document, once all is done."""
    error = _Below("error.txt")
    """Why training stopped, with tracebacks."""
    log = _Below("run.log")
    """Lines that were printed, with the time."""
    stepping = _Below("stepping")
    """Exists while the workers are at the steps of a stage."""
    stop = _Below("stop")
    """Exists once the workers are to take a checkpoint and wait until they are killed."""

    def write_json(self, path: Path, content: Any) -> None:
        """Whole or not at all.

        Raises:
            JobFailed: the disk refused.
        """
        with self._writing(path) as file:
            file.write(json.dumps(content, ensure_ascii=False, indent=1))

    @contextmanager
    def _writing(self, path: Path) -> Iterator[TextIO]:
        try:
            with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
                yield file
        except OSError as error:
            raise disk_refused("the run's", path, error, "name another place with --output") from error

    def read_json(self, path: Path) -> Any:
        """Content of a record.

        Raises:
            LlinkError: missing or damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise LlinkError(f"{self.path} is not a run directory: it has no {path.name}") from None
        except OSError as error:
            raise LlinkError(f"{path} cannot be read ({error.strerror}): look at the disk") from None
        except ValueError:
            raise LlinkError(f"{path} is damaged (not JSON): start a new run without --resume") from None

    def write_pairs(self, split: str, pairs: Sequence[Pair]) -> None:
        """Keep the pairs as they were split, so that a resumed run trains on the same.

        Raises:
            JobFailed: the disk refused.
        """
        with self._writing(self.path / "pairs" / f"{split}.jsonl") as file:
            file.writelines(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)

    def read_pairs(self, split: str) -> list[Pair]:
        """The pairs of a split."""
        pairs: list[Pair] = []
        file = self.path / "pairs" / f"{split}.jsonl"
        if split == UNSEEN and not file.exists():  # a run from before there was such a split
            return pairs
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                fields = json.loads(line)
                questions = tuple(
                    Question(**{**question, "choices": tuple(question.get("choices", ()))})
                    for question in fields.pop("questions")
                )
                pairs.append(Pair(**fields, questions=questions))
        return pairs

    def language_and_settings(self) -> tuple[str, Settings]:
        """Language code and settings that the run was started with.

        Raises:
            LlinkError: no run directory, or one of another version of this package.
        """
        record = self.read_json(self.record)
        try:
            return record["language"], Settings.model_validate(record["settings"])
        except (KeyError, TypeError, ValueError):
            raise LlinkError(
                f"{self.record} was written by another version of this package: start a new run"
            ) from None

    def check_same(self, language: str, settings: Settings) -> None:
        """Refuse to go on in a directory that belongs to something else.

        Raises:
            LlinkError: names what differs.
        """
        code, started = self.language_and_settings()  # settings that came later have their defaults
        if code != language:
            raise LlinkError(
                f"run {self.path} teaches {code!r}, not {language!r}: name its own language, or "
                "start a new run without --resume"
            )
        current, original = (_flat(tree.model_dump(mode="json")) for tree in (settings, started))
        differing = sorted(k for k in current.keys() | original.keys() if current.get(k) != original.get(k))
        if differing:
            key = differing[0]
            raise LlinkError(
                f"run {self.path} was started with {key} = {original.get(key)!r}, not {current.get(key)!r}"
                f"{f' (and {len(differing) - 1} more differ)' if len(differing) > 1 else ''}: "
                "resume without changing settings, or start a new run"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
