"""From log-probabilities of candidates to right and wrong choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from llink_ray.evaluation.held_out.choices import Choice
from llink_ray.evaluation.held_out.settings import Scoring

_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """Log-probability of a candidate answer after a prompt."""

    nats: float
    """Of its tokens without the end of the answer."""
    end: float
    """Of the end after them."""
    tokens: int
    """Without the end."""


def score(
    choices: Sequence[Choice],
    scores: Sequence[Sequence[CandidateScore]],
    empty: Sequence[Sequence[CandidateScore]],
    scoring: Scoring,
) -> list[npt.NDArray[np.float64]]:
    """Scores (C,) of each choice's candidates.

    ``scores`` are after the prompt with the text, ``empty`` after the same prompt without it. Prior ``mean``
    subtracts a candidate's mean over the choices that have the same candidates; where candidates differ from
    text to text, prior ``empty`` is used instead.
    """
    raw = [_scored(choice, row, scoring) for choice, row in zip(choices, scores, strict=True)]
    prior = _prior_of(choices, scoring)
    if prior == "none":
        return raw
    if prior == "empty":
        without = [_scored(choice, row, scoring) for choice, row in zip(choices, empty, strict=True)]
        return [row - base for row, base in zip(raw, without, strict=True)]
    by_labels: dict[tuple[str, tuple[str, ...]], list[npt.NDArray[np.float64]]] = {}
    for choice, row in zip(choices, raw, strict=True):
        by_labels.setdefault((choice.instruction, choice.candidates), []).append(row)
    means = {labels: np.mean(rows, axis=0) for labels, rows in by_labels.items()}
    return [
        row - means[choice.instruction, choice.candidates] for choice, row in zip(choices, raw, strict=True)
    ]


def _prior_of(choices: Sequence[Choice], scoring: Scoring) -> str:
    """``mean`` needs labels that repeat."""
    repeated = len({(c.instruction, c.candidates) for c in choices}) <= len(choices) / 2
    return "empty" if scoring.prior == "mean" and not repeated else scoring.prior


def _scored(choice: Choice, row: Sequence[CandidateScore], scoring: Scoring) -> npt.NDArray[np.float64]:
    """(C,) before any prior is subtracted."""
    end = scoring.end and choice.complete
    nats = np.array([w.nats + (w.end if end else 0.0) for w in row])
    lengths = {
        "sum": [1] * len(row),
        "token": [max(1, w.tokens + end) for w in row],
        "byte": [max(1, len(text.encode())) for text in choice.candidates],
    }
    scored: npt.NDArray[np.float64] = nats / np.array(lengths[scoring.length])
    return scored


def correct(choices: Sequence[Choice], scores: Sequence[npt.NDArray[np.float64]]) -> list[float]:
    """1 where the right candidate scores highest, 0 where it doesn't, its share where candidates tie."""
    shares = []
    for choice, row in zip(choices, scores, strict=True):
        best = row >= row.max() - _TIE
        shares.append(float(best[choice.correct]) / float(best.sum()))
    return shares


def variants(labels: bool) -> list[Scoring]:
    """Every way to score; those with prior ``mean`` where candidates are ``labels``."""
    priors = ("none", "empty", "mean") if labels else ("none", "empty")
    return [
        Scoring.model_validate({"length": length, "prior": prior, "end": end})
        for length, prior, end in product(("sum", "token", "byte"), priors, (False, True))
    ]
