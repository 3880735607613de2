"""Examples of pairs: (instruction, foreign text, answer), drawn for training and evaluation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llink_ray.corpus.pair import TRANSLATION_KIND, Pair, Question
from llink_ray.prompts.message import Segment

TRANSLATION_INSTRUCTIONS = ("Translate this into English.", "What does this say in English?")
"""Instructions of the kind ``TRANSLATION_KIND``."""
TRANSLATE_INSTRUCTION = TRANSLATION_INSTRUCTIONS[0]
PASSAGE_QUESTION = "Sentence {number}: {instruction}"
"""Instruction about one sentence of a passage."""
WHOLE_TRANSLATION_LIMIT = 3
"""Passages of up to so many sentences are also translated whole; longer ones sentence by sentence."""


@dataclass(frozen=True, slots=True)
class PassageSentence:
    """A sentence of a passage."""

    foreign: str
    english: str
    pair_index: int
    """Index of the pair, and row of its stored features."""
    as_text: bool = False
    """The prompt holds its English instead."""


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one pair, whose text may stand within a passage."""

    kind: str
    """Type of question; metrics are grouped by it."""
    instruction: str
    """What is asked, in English."""
    foreign: str
    """The text it is about; slots stand for it."""
    english: str
    """Its English, for the teacher and for ablations that read text."""
    answer: str
    """The expected answer."""
    pair_index: int
    """Index of the pair, and row of its stored features."""
    before: tuple[PassageSentence, ...] = ()
    """Sentences of the passage before this one."""
    after: tuple[PassageSentence, ...] = ()
    """Sentences of the passage behind it."""

    @property
    def sentences(self) -> tuple[PassageSentence, ...]:
        """The whole passage in order, this sentence among it."""
        return (*self.before, PassageSentence(self.foreign, self.english, self.pair_index), *self.after)

    @property
    def segments(self) -> list[Segment]:
        """The passage as the prompt takes it."""
        return [Segment(s.english, False) if s.as_text else Segment(s.foreign) for s in self.sentences]

    @property
    def text(self) -> str:
        """The passage as a person would write it."""
        return " ".join(segment.text for segment in self.segments)


def source_pairs(pairs: Sequence[Pair], source: Literal["foreign", "english"]) -> list[Pair]:
    """The pairs with the side that the decoder is to read as their foreign side (``stage_b.source``)."""
    if source == "foreign":
        return list(pairs)
    return [replace(pair, foreign=pair.english) for pair in pairs]


def question_kinds(pairs: Sequence[Pair]) -> Counter[str]:
    """How many questions of each kind the pairs have."""
    return Counter(question.kind for pair in pairs for question in pair.questions)


def pair_examples(
    pair: Pair, index: int, kinds: Counter[str], seed: int, epoch: int, translate_share: float, count: int
) -> list[Example]:
    """``count`` examples of the pair at ``index`` for one epoch.

    Each is a translation with probability ``translate_share`` (always where the pair has no questions), else
    one of the pair's questions, weighted by how rare its kind is, so that all kinds are trained. The draws
    depend on ``kinds`` (:func:`question_kinds` of the corpus), ``seed``, ``epoch`` and ``index`` alone, so
    any worker can draw any pair's examples.
    """
    rng = random.Random(f"{seed}:{epoch}:{index}")
    examples = []
    for _ in range(count):
        if not pair.questions or rng.random() < translate_share:
            examples.append(_translation(pair, index, rng.choice(TRANSLATION_INSTRUCTIONS)))
        else:
            weights = [1 / kinds[question.kind] for question in pair.questions]
            examples.append(_question(pair, index, rng.choices(pair.questions, weights)[0]))
    return examples


def training_examples(
    pairs: Sequence[Pair], seed: int, epoch: int, translate_share: float, per_pair: int
) -> list[Example]:
    """The :func:`pair_examples` of each pair for one epoch, pair by pair, not shuffled."""
    kinds = question_kinds(pairs)
    return [
        example
        for index, pair in enumerate(pairs)
        for example in pair_examples(pair, index, kinds, seed, epoch, translate_share, per_pair)
    ]


def in_passages(
    examples: Sequence[Example],
    pairs: Sequence[Pair],
    share: float,
    max_sentences: int,
    english_share: float,
    key: str,
) -> list[Example]:
    """:func:`in_passage` of each example, seeded by ``key`` and its index."""
    return [
        in_passage(example, pairs, share, max_sentences, english_share, f"{key}:{index}")
        for index, example in enumerate(examples)
    ]


def in_passage(
    example: Example, pairs: Sequence[Pair], share: float, max_sentences: int, english_share: float, key: str
) -> Example:
    """The example, with probability ``share`` within a passage of 2 to ``max_sentences`` sentences.

    The other sentences are drawn from ``pairs``, which the example came from; ``english_share`` of them are
    given in English. The instruction names the sentence by its number; some short passages are translated
    whole. ``key`` seeds the draws.
    """
    rng = random.Random(key)
    if share and rng.random() < share:
        return _in_passage(example, pairs, rng.randint(2, max_sentences), english_share, rng)
    return example


def _in_passage(
    example: Example, pairs: Sequence[Pair], count: int, english_share: float, rng: random.Random
) -> Example:
    others = [
        PassageSentence(pairs[i].foreign, pairs[i].english, i, rng.random() < english_share)
        for i in (rng.randrange(len(pairs)) for _ in range(count - 1))
    ]
    index = rng.randrange(count)
    passage = replace(example, before=tuple(others[:index]), after=tuple(others[index:]))
    if example.kind == TRANSLATION_KIND and count <= WHOLE_TRANSLATION_LIMIT and rng.random() < 0.5:
        return replace(passage, answer=" ".join(s.english for s in passage.sentences))
    instruction = PASSAGE_QUESTION.format(number=index + 1, instruction=example.instruction)
    return replace(passage, instruction=instruction)


def evaluation_examples(pairs: Sequence[Pair], count: int, seed: int) -> list[Example]:
    """Up to ``count`` questions with known answers, the kinds in turn, without translations.

    A kind that runs out leaves its turns to the others; the same arguments give the same list.
    """
    by_kind: dict[str, list[Example]] = {}
    for index, pair in enumerate(pairs):
        for question in pair.questions:
            if question.kind != TRANSLATION_KIND:
                by_kind.setdefault(question.kind, []).append(_question(pair, index, question))
    turns = []
    for kind, examples in by_kind.items():
        random.Random(f"{seed}:{kind}").shuffle(examples)
        turns += [(turn, kind, example) for turn, example in enumerate(examples)]
    turns.sort(key=lambda item: item[:2])
    return [example for _, _, example in turns[:count]]


def translation_examples(pairs: Sequence[Pair], count: int) -> list[Example]:
    """Translations of the first ``count`` pairs; the instructions take turns."""
    return [
        _translation(pair, index, TRANSLATION_INSTRUCTIONS[index % len(TRANSLATION_INSTRUCTIONS)])
        for index, pair in enumerate(pairs[:count])
    ]


def _translation(pair: Pair, index: int, instruction: str) -> Example:
    return Example(TRANSLATION_KIND, instruction, pair.foreign, pair.english, pair.english, index)


def _question(pair: Pair, index: int, question: Question) -> Example:
    return Example(question.kind, question.instruction, pair.foreign, pair.english, question.answer, index)
