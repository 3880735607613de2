"""Questions about one sentence of a longer message: passages, and foreign text beside English."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.corpus.pair import Pair
from llink_ray.metrics.answers import exact
from llink_ray.prompts.instructions import Example, evaluation_examples, in_passages

LONGEST = 6
"""Sentences of the longest passage, or fewer where ``slots.max_sentences`` is less."""


def passages(taught: LlinkPipeline, pairs: Sequence[Pair]) -> dict[str, Any]:
    """``passages`` and ``mixed`` of the metrics; empty for a decoder that takes a message as one text.

    ``passages``: ``exact``, ``count``, and both in ``by_sentences``. ``mixed``: ``exact`` of messages of one
    English and one foreign sentence, asked about the latter, ``alone`` of the same questions about the
    foreign sentence by itself, ``count``.
    """
    settings = taught.settings
    most = min(LONGEST, settings.slots.max_sentences)
    asked = evaluation_examples(pairs, settings.evaluation.passages, settings.seed)
    if most < 2 or not asked:
        return {}
    inside = in_passages(asked, pairs, 1.0, most, 0.0, f"evaluation:{settings.seed}")
    right = _right(taught, inside)
    by_size: dict[int, list[bool]] = {}
    for example, good in zip(inside, right, strict=True):
        by_size.setdefault(len(example.sentences), []).append(good)
    beside = in_passages(asked, pairs, 1.0, 2, 1.0, f"mixed:{settings.seed}")
    return {
        "passages": {
            **_share(right),
            "by_sentences": {str(size): _share(by_size[size]) for size in sorted(by_size)},
        },
        "mixed": {**_share(_right(taught, beside)), "alone": _share(_right(taught, asked))["exact"]},
    }


def _right(taught: LlinkPipeline, examples: Sequence[Example]) -> list[bool]:
    given = taught.answer_all([(e.instruction, e.text) for e in examples])
    return [exact(example.answer, text) for example, text in zip(examples, given, strict=True)]


def _share(right: Sequence[bool]) -> dict[str, Any]:
    return {"exact": sum(right) / len(right), "count": len(right)}
