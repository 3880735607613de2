"""What is searched for: figures by name, and whether more of one is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llink_ray.errors import LlinkError

_STAGE_A = {
    "retrieval.r1": True,
    "retrieval.r5": True,
    "retrieval.r10": True,
    "retrieval.mrr": True,
    "retrieval.mean_rank": False,
    "retrieval.margin": True,
    "seconds": False,
}
_STAGE_B = {
    "answers.exact": True,
    "answers.f1": True,
    "numbers.exact": True,
    "loss": False,
    "prompt_tokens": False,
    "slots": False,
}
_FINER = {
    **dict.fromkeys(
        ("retrieval.r1", "retrieval.r5", "retrieval.r10", "retrieval.mrr", "retrieval.mean_rank"),
        "retrieval.margin",
    ),
    **dict.fromkeys(("answers.exact", "answers.f1", "numbers.exact"), "loss"),
}
"""What still differs where shares are equal, as they are once everything is found."""


@dataclass(frozen=True)
class Objective:
    """One figure that is to become large, or small."""

    name: str

    @property
    def larger_is_better(self) -> bool:
        """Its direction."""
        return {**_STAGE_A, **_STAGE_B}[self.name]

    @property
    def needs_stage_b(self) -> bool:
        """Whether Stage A alone does not have it."""
        return self.name in _STAGE_B

    def score(self, metrics: Mapping[str, float], seconds: float) -> float | None:
        """The figure turned so that larger is better; None where it was not measured."""
        value = seconds if self.name == "seconds" else metrics.get(self.name)
        if value is None:
            return None
        return value if self.larger_is_better else -value

    def fine_score(self, metrics: Mapping[str, float], seconds: float) -> tuple[float, float] | None:
        """The score with what tells equal ones apart, where that was measured; None without a score."""
        score, finer = self.score(metrics, seconds), _FINER.get(self.name)
        if score is None:
            return None
        told = Objective(finer).score(metrics, seconds) if finer else None
        return score, 0.0 if told is None else told


def objectives(names: str) -> tuple[Objective, ...]:
    """``answers.exact,slots`` as objectives, in order; the first is the one that ties are read by.

    Raises:
        LlinkError: an unknown name, or the same twice.
    """
    found = [name.strip() for name in names.split(",") if name.strip()]
    known = {**_STAGE_A, **_STAGE_B}
    for name in found:
        if name not in known:
            raise LlinkError(f"there is no objective {name!r}: choose from {', '.join(known)}")
    if not found or len(set(found)) < len(found):
        raise LlinkError(f"--objective {names!r}: name one figure, or several different ones with commas")
    return tuple(map(Objective, found))


def ranks(values: Sequence[tuple[float, ...]]) -> list[float]:
    """Rank of each value among all, 1 for the largest; equal ones share the mean of their places."""
    return [
        1 + sum(other > value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]
