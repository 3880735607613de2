"""A model in mid Stage B on held-out pairs: answers, retrieval, prompt tokens; from stored features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llink_ray.corpus.pair import Pair
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


class HeldOut:
    """Questions of held-out pairs, made ready once and asked again at each look.

    Args:
        model: as it is trained; to be in evaluation mode while it is looked at.
        decoder: the frozen one, whose tokens the model reads and writes.
        settings: of the run.
        language: of the pairs.
        pairs: held out.
        foreign: features of training and held-out pairs.
        teacher: the decoder's states of the English of both.
        offset: row of the first held-out pair.
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
        self.asked = evaluation_examples(shown, settings.stage_b.validation_answers, settings.seed)
        self.rows = tokenise(decoder.prompt_builder, self.asked, settings.slots, language)
        self.slot_counts = [settings.slots.slot_count(pair.foreign) for pair in shown]
        self.teacher = teacher.vectors[np.arange(offset, offset + len(pairs))]

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Figures by the names that objectives go by; those that the pairs do not allow are left out."""
        slots = self.settings.slots
        found: dict[str, float] = {"slots": float(slots.most_slots)}
        if self.rows:
            found["prompt_tokens"] = float(np.mean([len(row.prompt) for row in self.rows]))
            told = score(self._answers())
            figures = {"answers.exact": "exact", "answers.f1": "f1", "numbers.exact": "numbers"}
            found |= {name: told[key] for name, key in figures.items() if told[key] is not None}
        if self.count and slots.uses_slots:
            device = self.decoder.device
            teacher = self.model.projector.normalise(torch.from_numpy(self.teacher).to(device))
            ranked = retrieval(self._means(), teacher.float().cpu())
            found |= {f"retrieval.{key}": value for key, value in ranked.as_dict().items() if key != "count"}
        return found

    def _answers(self) -> list[Answer]:
        wanted, given = self.settings.evaluation, [""] * len(self.rows)
        order = sorted(range(len(self.rows)), key=lambda i: len(self.rows[i].prompt))
        with track("answers on held-out pairs", "questions", len(order)) as progress:
            for start in range(0, len(order), wanted.batch_size):
                part = order[start : start + wanted.batch_size]
                slots = self._slots([row for i in part for row in self.rows[i].pairs])
                prompts = collate([self.rows[i].prompt for i in part]).to(self.decoder.device)
                answers = self.model.generate(prompts, slots, self.decoder, wanted.max_new_tokens)
                for place, answer in zip(part, answers, strict=True):
                    given[place] = answer
                progress.advance(len(part))
        return [
            Answer(e.kind, e.instruction, e.answer, text) for e, text in zip(self.asked, given, strict=True)
        ]

    def _means(self) -> torch.Tensor:
        size = self.settings.evaluation.batch_size
        parts = [range(start, min(start + size, self.count)) for start in range(0, self.count, size)]
        return torch.cat([self._slots(part).mean().float().cpu() for part in parts])  # (m, d)

    def _slots(self, held_out: Sequence[int]) -> Slots:
        """Slots of held-out pairs by index."""
        counts = [self.slot_counts[i] for i in held_out]
        encoded = load_sources(self.foreign, self.offset + np.asarray(held_out, np.int64), counts)
        return self.model.soft_slots(encoded.to(self.decoder.device))
