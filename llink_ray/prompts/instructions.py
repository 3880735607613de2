"""From pairs to what the decoder is told and should answer: (instruction, foreign text, answer)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llink_ray.corpus.pair import Pair, Question
from llink_ray.prompts.message import Segment

TRANSLATE_KIND = "translate"
"""The kind of question that every pair can answer: with its English."""

TRANSLATE = ("Translate this into English.", "What does this say in English?")
"""Wordings of it."""


PLACE = "Sentence {number}: {instruction}"
"""How a sentence of a passage is asked about."""
WHOLE = 3
"""Passages of so many sentences are also translated as a whole; longer ones sentence by sentence."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another sentence of the passage."""

    foreign: str
    english: str
    pair_index: int
    """Row of the pair's stored features."""
    as_text: bool = False
    """Given in English."""


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
    before: tuple[Neighbour, ...] = ()
    """Sentences of the passage before this one."""
    after: tuple[Neighbour, ...] = ()
    """And behind it."""

    @property
    def sentences(self) -> tuple[Neighbour, ...]:
        """The whole passage in order, this sentence among it."""
        return (*self.before, Neighbour(self.foreign, self.english, self.pair_index), *self.after)

    @property
    def parts(self) -> list[Segment]:
        """The passage as the prompt takes it."""
        return [Segment(s.english, False) if s.as_text else Segment(s.foreign) for s in self.sentences]

    @property
    def text(self) -> str:
        """The passage as a person would write it."""
        return " ".join(part.text for part in self.parts)


def as_shown(pairs: Sequence[Pair], source: Literal["foreign", "english"]) -> list[Pair]:
    """The pairs with what the decoder is to read as their foreign side (setting ``stage_b.source``)."""
    if source == "foreign":
        return list(pairs)
    return [replace(pair, foreign=pair.english) for pair in pairs]


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


def in_passages(
    examples: Sequence[Example], pairs: Sequence[Pair], share: float, most: int, english: float, key: str
) -> list[Example]:
    """The same examples, ``share`` of them inside a passage of 2 to ``most`` sentences, in any place of it.

    The other sentences are drawn from ``pairs``, the list that the examples came from; ``english`` is the
    share of them given in English. Instructions say which sentence is meant; of short passages some are
    translated whole. ``key`` seeds the draws, with each example's place.
    """
    found = []
    for place, example in enumerate(examples):
        rng = random.Random(f"{key}:{place}")
        if share and rng.random() < share:
            example = _inside(example, pairs, rng.randint(2, most), english, rng)
        found.append(example)
    return found


def _inside(
    example: Example, pairs: Sequence[Pair], count: int, english: float, rng: random.Random
) -> Example:
    others = [
        Neighbour(pairs[i].foreign, pairs[i].english, i, rng.random() < english)
        for i in (rng.randrange(len(pairs)) for _ in range(count - 1))
    ]
    place = rng.randrange(count)
    passage = replace(example, before=tuple(others[:place]), after=tuple(others[place:]))
    if example.kind == TRANSLATE_KIND and count <= WHOLE and rng.random() < 0.5:
        return replace(passage, answer=" ".join(s.english for s in passage.sentences))
    asked = PLACE.format(number=place + 1, instruction=example.instruction)
    return replace(passage, instruction=asked)


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
