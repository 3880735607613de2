"""Human judges: the chat's file of votes and thumbs, read as judgements.

A line of the file is one JSON object, ``kind`` ``vote`` or ``thumb``. A vote has seen both answers once, side
by side under their names, so nothing is known of what another order would have changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge.records import AnswerPair, Judgement, Verdict, Winner
from llink_ray.evaluation.judge.summary import Summary, summarise

_VERDICTS: dict[Winner, tuple[Verdict, Verdict]] = {
    "a": ("1", "2"),
    "b": ("2", "1"),
    "tie": ("tie", "tie"),
}
Sides = tuple[str, str]


class Line(BaseModel):
    """What votes and thumbs have in common."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    format: Literal[1] = 1
    """Of the line."""
    time: str
    """When, ISO 8601."""
    instruction: str
    """What was asked."""
    source: str
    """The foreign text that it was asked about; empty where there was none."""
    languages: tuple[str, ...] = ()
    """Codes of its languages."""
    conversation: tuple[dict[str, str], ...] = ()
    """``role`` and ``content`` of all messages up to the question."""


class Vote(Line):
    """Two answers to one question, and which a person liked better."""

    kind: Literal["vote"] = "vote"
    answer_a: str
    answer_b: str
    side_a: str
    """Model, with the versions of the bundles that answered: ``llink (bo v0001)``."""
    side_b: str
    winner: Winner

    @property
    def judgement(self) -> Judgement:
        """As a judge's, with the side that comes first by name as A; its index is not known yet."""
        swapped = self.side_b < self.side_a
        sides, answers = (self.side_a, self.side_b), (self.answer_a, self.answer_b)
        winner = self.winner
        if swapped:
            sides, answers = sides[::-1], answers[::-1]
            winner = {"a": "b", "b": "a", "tie": "tie"}[winner]  # type: ignore[assignment]
        pair = AnswerPair(self.instruction, self.source, None, None, *answers, *sides)
        return Judgement(0, pair, winner, _VERDICTS[winner])


class Thumb(Line):
    """One answer, and whether a person liked it."""

    kind: Literal["thumb"] = "thumb"
    answer: str
    side: str
    """As in a vote."""
    choice: Literal["up", "down"]


Entry = Annotated[Vote | Thumb, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Vote | Thumb] = TypeAdapter(Entry)


def read(path: str | Path) -> Iterator[Vote | Thumb]:
    """The lines of a file, in order.

    Raises:
        LlinkError: no such file, or a line of another form.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _entry(line, f"{path}, line {number}")
    except OSError as error:
        raise LlinkError(f"votes {path} cannot be read ({error.strerror}): name the chat's file") from None
    except UnicodeDecodeError:
        raise LlinkError(f"votes {path} are not UTF-8: name the chat's file") from None


def _entry(line: str, where: str) -> Vote | Thumb:
    try:
        return _ENTRY.validate_python(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise LlinkError(f"{where} is no vote ({key}: {first['msg']}): take the line out") from None
    except ValueError:
        raise LlinkError(f"{where} is not JSON, it may have been cut short: take the line out") from None


def summaries(entries: Sequence[Vote | Thumb], seed: int = 0) -> dict[Sides, Summary]:
    """The figures of each pair of sides, whichever of the two was shown left."""
    by_sides: dict[Sides, list[Judgement]] = {}
    for entry in entries:
        if isinstance(entry, Vote):
            judgement = entry.judgement
            by_sides.setdefault((judgement.pair.side_a, judgement.pair.side_b), []).append(judgement)
    return {sides: summarise(judgements, seed) for sides, judgements in sorted(by_sides.items())}


def thumbs(entries: Sequence[Vote | Thumb]) -> dict[str, Counter[str]]:
    """How many went ``up`` and ``down``, by side."""
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        if isinstance(entry, Thumb):
            counts.setdefault(entry.side, Counter())[entry.choice] += 1
    return dict(sorted(counts.items()))
