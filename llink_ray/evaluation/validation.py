"""Figures of a model during Stage B on validation pairs, from stored features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llink_ray.corpus.pair import Pair
from llink_ray.evaluation.batches import by_length
from llink_ray.features import Features
from llink_ray.metrics.answers import Answer, score
from llink_ray.metrics.retrieval import retrieval
from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import LlinkModel, collate
from llink_ray.models.slots import Slots
from llink_ray.progress import track
from llink_ray.prompts.instructions import evaluation_examples, source_pairs
from llink_ray.settings import Settings
from llink_ray.text.languages import Language
from llink_ray.training.examples import tokenise
from llink_ray.training.stage_b import load_sources


class ValidationEvaluator:
    """Answers, retrieval and prompt tokens on validation pairs; the prompts are built once.

    Args:
        model: as it is trained; has to be in evaluation mode for ``evaluate``.
        decoder: the frozen one.
        settings: of the run.
        language: of the pairs.
        pairs: validation pairs.
        foreign: features of training and validation pairs.
        teacher: the decoder's states of the English of both.
        offset: row of the first validation pair.
    """

    def __init__(
        self,
        model: LlinkModel,
        decoder: Decoder,
        settings: Settings,
        language: Language,
        pairs: Sequence[Pair],
        foreign: Features,
        teacher: Features,
        offset: int,
    ) -> None:
        self.model, self.decoder, self.settings = model, decoder, settings
        self.foreign, self.offset, self.count = foreign, offset, len(pairs)
        shown = source_pairs(pairs, settings.stage_b.source)
        self.examples = evaluation_examples(shown, settings.stage_b.validation_answers, settings.seed)
        self.rows = tokenise(decoder.prompt_builder, self.examples, settings.slots, language)
        self.slot_counts = [settings.slots.slot_count(pair.foreign) for pair in shown]
        self.teacher = teacher.vectors[np.arange(offset, offset + len(pairs))]

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Figures by the names of a sweep's objectives; those that the pairs do not allow are left out."""
        slots = self.settings.slots
        figures = {"slots": float(slots.most_slots)}
        if self.rows:
            figures["prompt_tokens"] = float(np.mean([len(row.prompt) for row in self.rows]))
            scores = score(self._answers())
            names = {"answers.exact": "exact", "answers.f1": "f1", "numbers.exact": "numbers"}
            figures |= {name: scores[key] for name, key in names.items() if scores[key] is not None}
        if self.count and slots.uses_slots:
            teacher = torch.from_numpy(self.teacher).to(self.decoder.device)
            targets = self.model.projector.normalise(teacher).float().cpu()
            ranked = retrieval(self._mean_slots(), targets).as_dict()
            figures |= {f"retrieval.{key}": value for key, value in ranked.items() if key != "count"}
        return figures

    def _answers(self) -> list[Answer]:
        evaluation, texts = self.settings.evaluation, [""] * len(self.rows)
        with track("answers on held-out pairs", "questions", len(texts)) as progress:
            for batch in by_length([row.prompt for row in self.rows], evaluation.batch_size):
                slots = self._slots([pair for i in batch for pair in self.rows[i].pairs])
                prompts = collate([self.rows[i].prompt for i in batch]).to(self.decoder.device)
                answers = self.model.generate(prompts, slots, self.decoder, evaluation.max_new_tokens)
                for i, answer in zip(batch, answers, strict=True):
                    texts[i] = answer
                progress.advance(len(batch))
        return [
            Answer(e.kind, e.instruction, e.answer, text)
            for e, text in zip(self.examples, texts, strict=True)
        ]

    def _mean_slots(self) -> torch.Tensor:
        """(m, d) summary of the slots of each validation pair."""
        size = self.settings.evaluation.batch_size
        batches = [range(start, min(start + size, self.count)) for start in range(0, self.count, size)]
        summary = self.model.slots.summary
        return torch.cat([summary(self._slots(batch)).float().cpu() for batch in batches])

    def _slots(self, pairs: Sequence[int]) -> Slots:
        """Slots of validation pairs by index."""
        counts = [self.slot_counts[i] for i in pairs]
        encoded = load_sources(self.foreign, self.offset + np.asarray(pairs, np.int64), counts)
        return self.model.soft_slots(encoded.to(self.decoder.device))
