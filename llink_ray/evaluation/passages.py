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


def passages(pipeline: LlinkPipeline, pairs: Sequence[Pair]) -> dict[str, Any]:
    """``passages`` and ``mixed`` of the metrics; empty for a bundle that takes a message as one text.

    ``passages``: ``exact``, ``count``, and both in ``by_sentences``. ``mixed``: ``exact`` of messages of one
    English and one foreign sentence, asked about the latter, ``alone`` of the same questions about the
    foreign sentence by itself, ``count``.
    """
    settings = pipeline.settings
    most = min(LONGEST, settings.slots.max_sentences)
    alone = evaluation_examples(pairs, settings.evaluation.passages, settings.seed)
    if most < 2 or not alone:
        return {}
    in_passage = in_passages(alone, pairs, 1.0, most, 0.0, f"evaluation:{settings.seed}")
    correct = _correct(pipeline, in_passage)
    by_size: dict[int, list[bool]] = {}
    for example, exact_match in zip(in_passage, correct, strict=True):
        by_size.setdefault(len(example.sentences), []).append(exact_match)
    mixed = in_passages(alone, pairs, 1.0, 2, 1.0, f"mixed:{settings.seed}")
    return {
        "passages": {
            **_share(correct),
            "by_sentences": {str(size): _share(by_size[size]) for size in sorted(by_size)},
        },
        "mixed": {**_share(_correct(pipeline, mixed)), "alone": _share(_correct(pipeline, alone))["exact"]},
    }


def _correct(pipeline: LlinkPipeline, examples: Sequence[Example]) -> list[bool]:
    answers = pipeline.answer_all([(e.instruction, e.text) for e in examples])
    return [exact(example.answer, answer) for example, answer in zip(examples, answers, strict=True)]


def _share(correct: Sequence[bool]) -> dict[str, Any]:
    return {"exact": sum(correct) / len(correct), "count": len(correct)}
