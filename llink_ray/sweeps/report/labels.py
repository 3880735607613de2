"""How settings and figures of a sweep are called, in its tables and in its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llink_ray.evaluation.table import DASH, format_number, humanize

_FIGURES = {
    "retrieval.r1": "R@1",
    "retrieval.r5": "R@5",
    "retrieval.r10": "R@10",
    "retrieval.mrr": "MRR",
    "retrieval.mean_rank": "mean rank",
    "retrieval.margin": "margin",
    "answers.exact": "answers exact",
    "answers.f1": "answers F1",
    "numbers.exact": "numbers right",
    "prompt_tokens": "prompt tokens",
    "slots": "slots K",
}
_COARSE = {"seconds": 1, "prompt_tokens": 1, "slots": 0, "retrieval.mean_rank": 2}
"""Decimals of figures that are no shares."""


def named(metric: str) -> str:
    """A figure in words."""
    return _FIGURES.get(metric, humanize(metric.replace(".", " ")))


def measured(metric: str, value: float | None) -> str:
    """A figure with as many decimals as it is worth."""
    return format_number(value, _COARSE.get(metric, 3))


def told(value: object) -> str:
    """A setting's value, in three digits where it is no whole number."""
    if value is None:
        return DASH
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    return str(value)


def short(settings: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name, with the section where two would be the same."""
    last = [name.rpartition(".")[2] for name in settings]
    return {
        name: humanize(end if last.count(end) == 1 else name.replace(".", " "))
        for name, end in zip(settings, last, strict=True)
    }


def listed(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Settings in one cell: ``count 8, hidden 512``."""
    return ", ".join(f"{names[name]} {told(settings[name])}" for name in names if name in settings)


def joined(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))
