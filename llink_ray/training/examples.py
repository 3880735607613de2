"""Stage B's batches: the examples of a step as token ids, the same for any number of workers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from llink_ray.corpus.pair import Pair
from llink_ray.models.llink import Prompts, collate
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.instructions import Example, in_passage, pair_examples, question_kinds, source_pairs
from llink_ray.prompts.message import number_sentences
from llink_ray.settings import SlotSettings, StageBSettings
from llink_ray.text.languages import DECODER_LANGUAGE, Language, find
from llink_ray.training.sampler import BucketedBatches, Indices, effective_batch_size, micro_batch_size

LONGEST_ANSWER = 256
"""Answer tokens kept in training; a longer answer is cut and, having no end token, does not teach to stop."""
CACHED_EXAMPLES = 32_768
"""Tokenised examples kept, so that a small corpus is tokenised once an epoch and a large one fits memory."""


@dataclass(frozen=True)
class Tokenised:
    """One example in token ids."""

    prompt: list[int]
    answer: list[int]
    words: list[list[int]]
    """The English of each sentence that slots represent, in order."""
    pairs: list[int]
    """Row of the features of each such sentence."""
    slot_counts: list[int]
    """Slots of each such sentence."""
    english: list[int]
    """The prompt with the English in place of the foreign text, where it is wanted."""

    @property
    def length(self) -> int:
        """Positions of prompt and answer."""
        return len(self.prompt) + len(self.answer)


def tokenise(
    prompt: PromptBuilder,
    examples: list[Example],
    slots: SlotSettings,
    language: Language | None,
    with_english: bool = False,
) -> list[Tokenised]:
    """Each example's ids."""

    def english(e: Example) -> list[int]:
        return prompt.text_prompt(e.instruction, number_sentences([s.english for s in e.sentences]))

    return [
        Tokenised(
            prompt=prompt.slot_prompt(e.instruction, e.segments, slots, language),
            answer=prompt.answer_ids(e.answer)[:LONGEST_ANSWER],
            words=[
                prompt.token_ids(" " + _slot_text(s.english, slots)) for s in e.sentences if not s.as_text
            ],
            pairs=[s.pair_index for s in e.sentences if not s.as_text],
            slot_counts=[slots.slot_count(s.foreign) for s in e.sentences if not s.as_text],
            english=english(e) if with_english else [],
        )
        for e in examples
    ]


def _slot_text(english: str, slots: SlotSettings) -> str:
    """What the slots are to represent of a sentence: with a numerals lane, not its digits."""
    return "".join(c for c in english if not c.isdecimal()) if slots.numerals else english


def sentence_numbers(pairs: Sequence[Pair]) -> torch.Tensor:
    """(N,) one number for each distinct English sentence."""
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(pair.english, len(numbers)) for pair in pairs])


def _language(code: str) -> Language:
    return DECODER_LANGUAGE if code == DECODER_LANGUAGE.code else find(code)


@dataclass(frozen=True)
class Scales:
    """Multiply sums over a micro-batch, so that all workers' and micro-batches' mean is the batch's mean."""

    tokens: float = 1.0
    """For sums over the answers' tokens."""
    examples: float = 1.0
    """For sums over examples."""
    sentences: float = 1.0
    """For sums over foreign sentences."""


UNSCALED = Scales()


@dataclass(frozen=True)
class MicroBatch:
    """What one worker puts through one forward pass."""

    prompts: Prompts
    words: torch.Tensor
    """(N, W) token ids of the English of each foreign sentence, prompt by prompt, -1 where padded."""
    sentences: torch.Tensor
    """(N,) the same number for the same English sentence: such rows are no negatives of each other."""
    pairs: torch.Tensor
    """(N,) rows of the features."""
    slot_counts: torch.Tensor
    """(N,) slots of each foreign sentence."""
    scales: Scales
    english: Prompts | None = None
    """The same answers behind the English, where the decoder that reads it is the teacher."""


class ExampleSource:
    """Step -> batch, as a pure function. Examples are drawn and tokenised when a batch first needs them."""

    def __init__(
        self,
        pairs: list[Pair],
        prompt: PromptBuilder,
        settings: StageBSettings,
        slots: SlotSettings,
        seed: int,
        language: Language | None,
    ) -> None:
        self.pairs = source_pairs(pairs, settings.source)
        # A copy, because batches are made in a thread of their own, and a tokenizer has a state.
        self.prompt = PromptBuilder(copy.deepcopy(prompt.tokenizer), prompt.system)
        self.settings, self.slots, self.seed, self.language = settings, slots, seed, language
        self.count = len(pairs) * settings.examples_per_pair
        self._sentences = sentence_numbers(pairs)
        self._kinds = question_kinds(self.pairs)
        self._example = lru_cache(CACHED_EXAMPLES)(self._make_example)
        self._batches = lru_cache(maxsize=1)(self._bucketed_batches)

    def _make_example(self, epoch: int, index: int) -> Tokenised:
        s = self.settings
        pair, draw = divmod(index, s.examples_per_pair)
        drawn = pair_examples(
            self.pairs[pair], pair, self._kinds, self.seed, epoch, s.translate_share, draw + 1
        )[draw]
        key = f"passages:{self.seed}:{epoch}:{index}"
        example = in_passage(
            drawn, self.pairs, s.passage_share, s.passage_sentences, s.passage_english_share, key
        )
        code = self.pairs[pair].language
        language = _language(code) if code else self.language
        distilled = bool(self.settings.distillation_weight)
        return tokenise(self.prompt, [example], self.slots, language, with_english=distilled)[0]

    def _bucketed_batches(self, epoch: int, batch_size: int) -> BucketedBatches:
        def lengths(rows: Indices) -> Indices:
            examples = [self._example(epoch, index) for index in rows.tolist()]
            return np.array([e.length for e in examples])

        return BucketedBatches(self.count, batch_size, self.seed, epoch, lengths)

    def step(self, step: int, rank: int, workers: int) -> list[MicroBatch]:
        """The micro-batches of ``rank`` in 0-based ``step``."""
        size = effective_batch_size(self.settings.batch_size, self.count, workers)
        epoch, position = divmod(step, self.count // size)
        batch = [self._example(epoch, i) for i in self._batches(epoch, size)[position].tolist()]
        shares = [batch[i * len(batch) // workers : (i + 1) * len(batch) // workers] for i in range(workers)]
        lengths = [[e.length for e in share] for share in shares]
        most, most_tokens = self.settings.micro_batch_size, self.settings.micro_batch_tokens
        size, local = micro_batch_size(lengths, most, most_tokens), shares[rank]
        parts = [local[i : i + size] for i in range(0, len(local), size)]
        sums = sum(len(e.answer) for e in batch), len(batch), sum(len(e.pairs) for e in batch)
        scales = Scales(*(workers * len(parts) / count for count in sums))
        return [self._micro_batch(part, scales) for part in parts]

    def _micro_batch(self, examples: list[Tokenised], scales: Scales) -> MicroBatch:
        ids = [torch.tensor(ids, dtype=torch.long) for e in examples for ids in e.words]
        words = pad_sequence(ids, batch_first=True, padding_value=-1)
        answers = [e.answer for e in examples]
        prompts = collate([e.prompt for e in examples], answers)
        english = None
        if self.settings.distillation_weight:
            english = collate([e.english for e in examples], answers)
        pairs = torch.tensor([pair for e in examples for pair in e.pairs])
        counts = torch.tensor([count for e in examples for count in e.slot_counts])
        return MicroBatch(prompts, words, self._sentences[pairs], pairs, counts, scales, english)
