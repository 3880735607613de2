"""``history.jsonl``: figures of a run by step, one JSON object a line.

A record has ``stage`` (``a`` or ``b``), ``step``, and figures: ``loss``, its parts (``loss/contrastive`` …),
``learning_rate``, ``gradient_norm``, ``throughput/…`` and ``memory/…`` (:mod:`llink_ray.training.telemetry`),
and after an evaluation ``validation/…``. One process writes; a kill may truncate the last line, never an
earlier one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.storage.atomic import write_atomic

NAME = "history.jsonl"
"""Its name in a run directory."""


def _plain(value: object) -> object:
    """Python numbers of numpy and torch scalars; None for NaN and infinity, which JSON lacks."""
    item = getattr(value, "item", None)
    if callable(item):
        value = item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(record: Mapping[str, Any]) -> bytes:
    plain = {key: _plain(value) for key, value in record.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record in a line, or None where it is none."""
    try:
        record = json.loads(line)
    except ValueError:  # broken JSON or broken UTF-8
        return None
    return record if isinstance(record, dict) else None


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append one flat record; creates the folder and repairs a truncated last line if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _repair(path)
    with path.open("ab") as file:
        file.write(_line(record))


def _repair(path: Path) -> None:
    """Remove a truncated last line, or end it where only its line break is missing."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
    data = path.read_bytes()
    start = data.rfind(b"\n") + 1
    if _parse(data[start:]) is None:
        os.truncate(path, start)
    else:
        with path.open("ab") as file:
            file.write(b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """All records in order; none where there is no file. A truncated last line is left out.

    Raises LlinkError, with the line, for a broken line anywhere else.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        record = _parse(line) if line.strip() else None
        if record is not None:
            records.append(record)
        elif line.strip() and number < len(lines):
            raise LlinkError(f"{path}, line {number}: not a JSON object; delete the line to go on without it")
    return records


def rewind(path: Path, stage: str, step: int) -> list[dict[str, Any]]:
    """Remove records after ``step`` of ``stage``, later stages included, and return the others.

    A resumed run repeats those steps and would report them twice. The file is replaced as a whole.
    """
    records = read(path)
    kept = [r for r in records if (str(r.get("stage", "")), int(r.get("step", 0))) <= (stage, step)]
    if len(kept) < len(records):
        write_atomic(path, b"".join(_line(record) for record in kept))
    return kept
