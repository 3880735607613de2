"""From pairs to what the decoder is told and should answer: (instruction, foreign text, answer)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llink_ray.corpus.pair import Pair, Question

TRANSLATE_KIND = "translate"
"""The kind of question that every pair can answer: with its English."""

TRANSLATE = ("Translate this into English.", "What does this say in English?")
"""Wordings of it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing asked of one pair; ``pair_index`` is the pair's place in the list it came from."""

    kind: str
    """Type of question, as the figures group it."""
    instruction: str
    """What the decoder is told, in English."""
    foreign: str
    """The text asked about; slots stand for it."""
    english: str
    """Its English, for the teacher and for ablations that read text."""
    answer: str
    """What the decoder should write."""
    pair_index: int
    """Row of the pair's stored features."""


def training_examples(
    pairs: Sequence[Pair], seed: int, epoch: int, translate_share: float, per_pair: int
) -> list[Example]:
    """``per_pair`` examples of each pair for one pass, pair by pair; shuffling is the loader's.

    Each asks for a translation with probability ``translate_share`` (always, where the pair has no
    questions), else one of the pair's questions, those of a kind that few pairs have the likelier, so that
    all kinds are practised. A pair's draws depend on the corpus, ``seed``, ``epoch`` and its index alone, so
    any worker can draw any part of the list.
    """
    kinds = Counter(question.kind for pair in pairs for question in pair.questions)
    examples = []
    for index, pair in enumerate(pairs):
        rng = random.Random(f"{seed}:{epoch}:{index}")
        for _ in range(per_pair):
            if not pair.questions or rng.random() < translate_share:
                examples.append(_translation(pair, index, rng.choice(TRANSLATE)))
            else:
                examples.append(
                    _asked(
                        pair,
                        index,
                        rng.choices(pair.questions, [1 / kinds[q.kind] for q in pair.questions])[0],
                    )
                )
    return examples


def evaluation_examples(pairs: Sequence[Pair], count: int, seed: int) -> list[Example]:
    """Up to ``count`` questions with known answers, kinds in turn, translations left out.

    A kind that runs out leaves its turns to the others; the same arguments give the same list.
    """
    by_kind: dict[str, list[Example]] = {}
    for index, pair in enumerate(pairs):
        for question in pair.questions:
            if question.kind != TRANSLATE_KIND:
                by_kind.setdefault(question.kind, []).append(_asked(pair, index, question))
    for kind, examples in by_kind.items():
        random.Random(f"{seed}:{kind}").shuffle(examples)
    # Sorting by (place within the kind, kind) is taking turns.
    turns = sorted(
        (
            (turn, kind, example)
            for kind, examples in by_kind.items()
            for turn, example in enumerate(examples)
        ),
        key=lambda item: item[:2],
    )
    return [example for _, _, example in turns[:count]]


def translation_examples(pairs: Sequence[Pair], count: int) -> list[Example]:
    """The first ``count`` pairs, to be translated; the wordings take turns."""
    return [
        _translation(pair, index, TRANSLATE[index % len(TRANSLATE)])
        for index, pair in enumerate(pairs[:count])
    ]


def _translation(pair: Pair, index: int, wording: str) -> Example:
    return Example(TRANSLATE_KIND, wording, pair.foreign, pair.english, pair.english, index)


def _asked(pair: Pair, index: int, question: Question) -> Example:
    return Example(question.kind, question.instruction, pair.foreign, pair.english, question.answer, index)
