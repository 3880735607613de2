"""Stage B's batches: which examples make up a step, as token ids; the same for any number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from llink_ray.corpus.pair import Pair
from llink_ray.models.llink import Prompts, collate
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.instructions import Example, in_passages, source_pairs, training_examples
from llink_ray.settings import SlotSettings, StageBSettings
from llink_ray.text.languages import Language
from llink_ray.training.sampler import bucketed, effective_batch_size

LONGEST_ANSWER = 256
"""Answer tokens kept in training; longer ones are cut and, having no end, don't teach to stop there."""


@dataclass(frozen=True)
class Tokenised:
    """One example as the decoder will see it."""

    prompt: list[int]
    answer: list[int]
    words: list[list[int]]
    """Of the English of each sentence that slots stand for, in order."""
    pairs: list[int]
    """Row of the features of each such sentence."""
    slot_counts: list[int]
    """Slots of each such sentence."""


def tokenise(
    prompt: PromptBuilder, examples: list[Example], slots: SlotSettings, language: Language | None
) -> list[Tokenised]:
    """Each example's ids."""
    return [
        Tokenised(
            prompt=prompt.slot_prompt(e.instruction, e.segments, slots, language),
            answer=prompt.answer_ids(e.answer)[:LONGEST_ANSWER],
            words=[prompt.token_ids(" " + _said(s.english, slots)) for s in e.sentences if not s.as_text],
            pairs=[s.pair_index for s in e.sentences if not s.as_text],
            slot_counts=[slots.slot_count(s.foreign) for s in e.sentences if not s.as_text],
        )
        for e in examples
    ]


def _said(english: str, slots: SlotSettings) -> str:
    """What the slots should say of a sentence: with a numerals lane, not its digits."""
    return "".join(c for c in english if not c.isdecimal()) if slots.numerals else english


def sentence_numbers(pairs: Sequence[Pair]) -> torch.Tensor:
    """(N,) one number for each distinct English sentence."""
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(pair.english, len(numbers)) for pair in pairs])


@dataclass(frozen=True)
class MicroBatch:
    """One forward's worth of one worker."""

    prompts: Prompts
    words: torch.Tensor
    """(N, W) token ids of the English of each foreign sentence, prompt by prompt, -1 where padded."""
    sentences: torch.Tensor
    """(N,) the same number for the same English sentence: such rows are no negatives of each other."""
    pairs: torch.Tensor
    """(N,) rows of the features."""
    slot_counts: torch.Tensor
    """(N,) slots of each foreign sentence."""
    scale: float
    """Multiplies the sum of token losses, so that all workers' and micro-batches' mean is the batch's."""
    row_scale: float
    """The same for sums over foreign sentences."""


class ExampleSource:
    """Step -> batch, as a pure function."""

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
        self.prompt, self.settings, self.slots, self.seed = prompt, settings, slots, seed
        self.language = language
        self.count = len(pairs) * settings.examples_per_pair
        self._sentences = sentence_numbers(pairs)
        self._epoch = lru_cache(maxsize=1)(self._make_epoch)

    def _make_epoch(self, epoch: int, workers: int) -> tuple[list[Tokenised], list[npt.NDArray[np.int64]]]:
        s = self.settings
        drawn = training_examples(self.pairs, self.seed, epoch, s.translate_share, s.examples_per_pair)
        key = f"passages:{self.seed}:{epoch}"
        drawn = in_passages(
            drawn, self.pairs, s.passage_share, s.passage_sentences, s.passage_english_share, key
        )
        examples = tokenise(self.prompt, drawn, self.slots, self.language)
        lengths = np.array([len(e.prompt) + len(e.answer) for e in examples])
        size = effective_batch_size(s.batch_size, len(examples), workers)
        return examples, bucketed(lengths, size, self.seed, epoch)

    def step(self, step: int, rank: int, workers: int) -> list[MicroBatch]:
        """The micro-batches of ``rank`` in 0-based ``step``."""
        size = effective_batch_size(self.settings.batch_size, self.count, workers)
        epoch, place = divmod(step, self.count // size)
        examples, batches = self._epoch(epoch, workers)
        batch = [examples[i] for i in batches[place]]
        tokens, rows = sum(len(e.answer) for e in batch), sum(len(e.pairs) for e in batch)
        mine = batch[rank * len(batch) // workers : (rank + 1) * len(batch) // workers]
        size = min(self.settings.micro_batch_size or len(mine), len(mine))
        parts = [mine[i : i + size] for i in range(0, len(mine), size)]
        share = workers * len(parts)
        return [self._micro(part, share / tokens, share / rows) for part in parts]

    def _micro(self, examples: list[Tokenised], scale: float, row_scale: float) -> MicroBatch:
        said = [words for e in examples for words in e.words]
        words = torch.full((len(said), max(1, *map(len, said))), -1)
        for i, row in enumerate(said):
            words[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        prompts = collate([e.prompt for e in examples], [e.answer for e in examples])
        pairs = torch.tensor([pair for e in examples for pair in e.pairs])
        counts = torch.tensor([count for e in examples for count in e.slot_counts])
        return MicroBatch(prompts, words, self._sentences[pairs], pairs, counts, scale, row_scale)
