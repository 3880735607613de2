"""Figures of many comparisons: mean and spread over languages and seeds, and the judge over all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llink_ray.evaluation.baselines import OURS
from llink_ray.evaluation.comparison import Baseline
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.judge.summary import Length, bootstrap
from llink_ray.evaluation.table import format_number

Document = Mapping[str, Any]

_DRAWN = (
    *(f"retrieval.{key}" for key in ("r1", "r10")),
    *(f"answers.{key}" for key in ("exact", "numbers", "chrf")),
    "slot_gain.zero",
    "tokens.slots",
    "slots",
)


@dataclass(frozen=True)
class Spread:
    """A figure over languages and seeds."""

    mean: float
    low: float
    high: float
    count: int
    """Values."""

    def text(self, digits: int = 3) -> str:
        """``0.951 (0.943 to 0.975)``; a single value alone."""
        mean, low, high = (format_number(float(value), digits) for value in (self.mean, self.low, self.high))
        return mean if self.count == 1 else f"{mean} ({low} to {high})"


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of those that are there; None where none is."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    return Spread(sum(known) / len(known), min(known), max(known), len(known))


def value(document: Document, system: str, key: str) -> float | None:
    """``answers.exact`` of a system; None where it has no such figure."""
    node: Any = document["contestants"].get(system)
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, int | float) else None


def spread_over(documents: Sequence[Document], system: str, key: str) -> Spread | None:
    """One figure of one system in all comparisons."""
    return spread(value(document, system, key) for document in documents)


def combine(
    documents: Sequence[Document],
    first: tuple[str, str],
    second: tuple[str, str],
    how: Callable[[float, float], float],
) -> Spread | None:
    """Two figures, each (system, key), combined within each comparison that has both."""
    pairs = [(value(document, *first), value(document, *second)) for document in documents]
    return spread(how(a, b) for a, b in pairs if a is not None and b is not None)


def pooled_summary(documents: Sequence[Document], name: str) -> Summary | None:
    """The judge on ours against another, all pairs of answers of all comparisons together."""
    summaries = [document["judge"][name] for document in documents if name in document["judge"]]
    if not summaries:
        return None
    total = {
        key: sum(summary[key] for summary in summaries)
        for key in ("contests", "wins", "losses", "ties", "flipped", "unreadable")
    }
    rate, half = bootstrap(total["wins"], total["losses"], total["ties"])
    return Summary(
        OURS,
        name,
        **total,
        rate=rate,
        rate_ties_half=half,
        length_a=_length(summaries, "length_a"),
        length_b=_length(summaries, "length_b"),
    )


def _length(summaries: Sequence[Document], side: str) -> Length | None:
    """Mean length of a side's answers, each comparison weighted by its pairs of answers."""
    known = [(summary["contests"], summary[side]) for summary in summaries if summary[side]]
    total = sum(count for count, _ in known)
    if not total:
        return None
    letters, words = (
        sum(count * length[key] for count, length in known) / total for key in ("letters", "words")
    )
    return Length(letters, words)


def mean_baseline(documents: Sequence[Document], name: str) -> Baseline:
    """A system with the mean of each figure; pairs of retrieval are added up."""
    figures: dict[str, Any] = {}
    for key in _DRAWN:
        part, _, last = key.rpartition(".")
        known = spread_over(documents, name, key)
        (figures.setdefault(part, {}) if part else figures)[last] = known.mean if known else None
    held_out = (value(document, name, "retrieval.count") for document in documents)
    figures["retrieval"]["count"] = int(sum(count for count in held_out if count is not None))
    if figures["slots"] is not None:
        figures["slots"] = round(figures["slots"])
    return Baseline(name, figures, ())
