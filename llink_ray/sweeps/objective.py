"""What a sweep searches for: figures by name, and whether more of one is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection

from llink_ray.errors import LlinkError

_LARGER_IS_BETTER = {
    "retrieval.r1": True,
    "retrieval.r5": True,
    "retrieval.r10": True,
    "retrieval.mrr": True,
    "retrieval.mean_rank": False,
    "retrieval.margin": True,
    "seconds": False,
    "answers.exact": True,
    "answers.f1": True,
    "numbers.exact": True,
    "loss": False,
    "prompt_tokens": False,
    "slots": False,
}


@dataclass(frozen=True)
class Objective:
    """One figure that is to become large, or small."""

    name: str

    @property
    def sign(self) -> int:
        """1 where larger is better, else -1."""
        return 1 if _LARGER_IS_BETTER[self.name] else -1

    @property
    def direction(self) -> StudyDirection:
        """As Optuna calls it."""
        return StudyDirection.MAXIMIZE if self.sign > 0 else StudyDirection.MINIMIZE

    @property
    def needs_stage_b(self) -> bool:
        """Whether Stage A alone does not have it."""
        return not self.name.startswith(("retrieval.", "seconds"))

    def score(self, metrics: Mapping[str, float]) -> float | None:
        """The figure turned so that larger is better; None where it was not measured."""
        value = metrics.get(self.name)
        return None if value is None else self.sign * value

    def score_with_tie_break(self, metrics: Mapping[str, float]) -> tuple[float, float] | None:
        """The score, and what still differs where shares are equal, as they are once all is found.

        R@k is followed by the margin of the right sentence, answers by the loss.
        """
        if (score := self.score(metrics)) is None:
            return None
        if self.name.startswith("retrieval."):
            return score, metrics.get("retrieval.margin", 0.0)
        return score, -metrics.get("loss", 0.0) if self.name.startswith(("answers.", "numbers.")) else 0.0


def parse_objectives(names: str) -> tuple[Objective, ...]:
    """``answers.exact,slots`` as objectives; the first decides where there can be one only.

    Raises:
        LlinkError: an unknown name, or the same twice.
    """
    listed = [name.strip() for name in names.split(",") if name.strip()]
    for name in listed:
        if name not in _LARGER_IS_BETTER:
            raise LlinkError(f"there is no objective {name!r}: choose from {', '.join(_LARGER_IS_BETTER)}")
    if not listed or len(set(listed)) < len(listed):
        raise LlinkError(f"--objective {names!r}: name one figure, or several different ones with commas")
    return tuple(map(Objective, listed))


def ranks(values: Sequence[Any]) -> list[float]:
    """Rank of each value among all, 1 for the largest; equal ones share the mean of their places."""
    return [
        1 + sum(other > value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]
