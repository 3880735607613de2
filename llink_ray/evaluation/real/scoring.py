"""From log-probabilities of candidates to right and wrong choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from llink_ray.evaluation.real.choices import Choice
from llink_ray.evaluation.real.settings import Scoring

_LEVEL = 1e-9


@dataclass(frozen=True, slots=True)
class Weighed:
    """A candidate behind a prompt."""

    nats: float
    """Log-probability of its tokens, the end apart."""
    end: float
    """Of the end behind them."""
    tokens: int
    """Without the end."""


def score(
    choices: Sequence[Choice],
    told: Sequence[Sequence[Weighed]],
    empty: Sequence[Sequence[Weighed]],
    scoring: Scoring,
) -> list[npt.NDArray[np.float64]]:
    """Scores (C,) of each choice's candidates.

    ``told`` is behind the text, ``empty`` behind the same prompt without it. Prior ``mean`` takes off what
    a candidate scores on average over the choices that have the same candidates; where they are not a set
    of labels, but differ from text to text, prior ``empty`` stands in.
    """
    behind = [_scored(choice, row, scoring) for choice, row in zip(choices, told, strict=True)]
    prior = _prior_of(choices, scoring)
    if prior == "none":
        return behind
    if prior == "empty":
        without = [_scored(choice, row, scoring) for choice, row in zip(choices, empty, strict=True)]
        return [row - base for row, base in zip(behind, without, strict=True)]
    by_labels: dict[tuple[str, tuple[str, ...]], list[npt.NDArray[np.float64]]] = {}
    for choice, row in zip(choices, behind, strict=True):
        by_labels.setdefault((choice.instruction, choice.candidates), []).append(row)
    means = {labels: np.mean(rows, axis=0) for labels, rows in by_labels.items()}
    return [
        row - means[choice.instruction, choice.candidates]
        for choice, row in zip(choices, behind, strict=True)
    ]


def _prior_of(choices: Sequence[Choice], scoring: Scoring) -> str:
    """``mean`` needs labels that come again."""
    repeated = len({(c.instruction, c.candidates) for c in choices}) <= len(choices) / 2
    return "empty" if scoring.prior == "mean" and not repeated else scoring.prior


def _scored(choice: Choice, row: Sequence[Weighed], scoring: Scoring) -> npt.NDArray[np.float64]:
    """(C,) before any prior."""
    end = scoring.end and choice.whole
    nats = np.array([w.nats + (w.end if end else 0.0) for w in row])
    lengths = {
        "sum": [1] * len(row),
        "token": [max(1, w.tokens + end) for w in row],
        "byte": [max(1, len(text.encode())) for text in choice.candidates],
    }
    scored: npt.NDArray[np.float64] = nats / np.array(lengths[scoring.length])
    return scored


def right(choices: Sequence[Choice], scores: Sequence[npt.NDArray[np.float64]]) -> list[float]:
    """1 where the right candidate scores highest, 0 where it doesn't, its share among those that tie."""
    found = []
    for choice, row in zip(choices, scores, strict=True):
        best = row >= row.max() - _LEVEL
        found.append(float(best[choice.right]) / float(best.sum()))
    return found


def variants(labels: bool) -> list[Scoring]:
    """Every way to score; those with prior ``mean`` where candidates are ``labels``."""
    priors = ("none", "empty", "mean") if labels else ("none", "empty")
    return [
        Scoring.model_validate({"length": length, "prior": prior, "end": end})
        for length, prior, end in product(("sum", "token", "byte"), priors, (False, True))
    ]
