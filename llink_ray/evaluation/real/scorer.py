"""A decoder that is asked about texts, taught or as it came: prompts, likelihoods, answers, vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from llink_ray.evaluation.real.likelihood import Nats, Trial, log_probabilities
from llink_ray.models.decoder import without_adapters
from llink_ray.models.llink import collate
from llink_ray.progress import Advance, ignore_progress, track
from llink_ray.prompts.message import Segment
from llink_ray.text.languages import find

if TYPE_CHECKING:
    from llink_ray.bundles.pipeline import LlinkPipeline
    from llink_ray.corpus.pair import Pair
    from llink_ray.models.decoder import Decoder

Side = Literal["foreign", "english"]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Asked:
    """An instruction about a pair; about nothing at all where ``pair`` is None."""

    instruction: str
    pair: Pair | None


class LoadedSystem:
    """One loaded system: the decoder as it came, or a bundle; it reads one side of each pair."""

    def __init__(self, decoder: Decoder, reads: Side, taught: LlinkPipeline | None = None) -> None:
        self.decoder, self.reads, self.taught = decoder, reads, taught

    @property
    def model(self) -> Any:
        """The causal model: with adapters where it was taught."""
        return self.decoder.model if self.taught is None else self.taught.model.decoder

    @cached_property
    def _with_slots(self) -> bool:
        return self.taught is not None and self.taught.settings.slots.uses_slots

    def read(self, pair: Pair) -> str:
        """The text of a pair that this system is given."""
        text = pair.english if self.reads == "english" else pair.foreign
        return text if self.taught is None else self.taught.normalise(text)

    def row(self, asked: Asked) -> tuple[int, ...]:
        """Token ids of a prompt, as training and serving write it; a pair is one text."""
        if asked.pair is None:
            return tuple(self.decoder.prompt_builder.text_prompt(asked.instruction, ""))
        if self.taught is None:
            return tuple(self.decoder.prompt_builder.text_prompt(asked.instruction, self.read(asked.pair)))
        parts = [Segment(self.read(asked.pair))]
        settings, language = self.taught.settings.slots, find(self.taught.language)
        return tuple(self.decoder.prompt_builder.slot_prompt(asked.instruction, parts, settings, language))

    def slotted(self, asked: Asked) -> tuple[str, ...]:
        """The texts that slots of that prompt stand for."""
        return (self.read(asked.pair),) if asked.pair is not None and self._with_slots else ()

    def embedded(
        self, rows: Sequence[Sequence[int]], foreign: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Left-padded input embeddings (B, S, d) and their mask (B, S)."""
        prompts = collate(rows).to(self.decoder.device)
        if self.taught is None:
            return self.tokens_embedded(prompts.ids), prompts.mask
        slots = self.taught.model.soft_slots(self.taught.sources(foreign)) if foreign else None
        return self.taught.model.embed(prompts, slots), prompts.mask

    def tokens_embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings (B, T, d) of token ids (B, T)."""
        embedded: torch.Tensor = self.decoder.model.get_input_embeddings()(ids.to(self.decoder.device))
        return embedded

    @contextmanager
    def _as_itself(self) -> Iterator[None]:
        """Without the adapters that another system may have put into the same decoder."""
        with without_adapters(self.decoder.model) if self.taught is None else nullcontext():
            yield

    def weigh(
        self,
        asked: Sequence[Asked],
        candidates: Sequence[Sequence[str]],
        batch_tokens: int,
        done: Advance = ignore_progress,
    ) -> list[list[Nats]]:
        """Log-probabilities of each token of each candidate answer, the last one its end."""
        prompt = self.decoder.prompt_builder
        trials = [
            Trial(self.row(one), self.slotted(one), tuple(tuple(prompt.answer_ids(c)) for c in said))
            for one, said in zip(asked, candidates, strict=True)
        ]
        with self._as_itself():
            return log_probabilities(self, trials, batch_tokens, done)

    def answer(
        self, asked: Sequence[Asked], batch_size: int, max_new_tokens: int, done: Advance = ignore_progress
    ) -> list[str]:
        """Greedy answers, in order; the batch does not change them."""
        rows = [self.row(one) for one in asked]
        answers = [""] * len(rows)
        for part in by_length(rows, batch_size):
            with torch.inference_mode(), self._as_itself():
                embedded, mask = self.embedded(
                    [rows[i] for i in part], [text for i in part for text in self.slotted(asked[i])]
                )
                given = self.decoder.greedy(embedded, mask, max_new_tokens, self.model)
            for place, text in zip(part, given, strict=True):
                answers[place] = text
            done(len(part))
        return answers

    def vectors(self, pairs: Sequence[Pair], batch_size: int) -> Vectors:
        """What stands for each text in the decoder's latent space, (n, d_dec).

        Of a bundle with slots, its projected vectors; of a decoder that reads the text, its state after it.
        """
        texts = [self.read(pair) for pair in pairs]
        if not self._with_slots or self.taught is None:
            return self._states(texts, batch_size, adapted=self.taught is not None)
        found = np.zeros((len(texts), self.decoder.dim), np.float32)
        with track("vectors", "texts", len(texts)) as progress:
            for part in by_length(texts, batch_size):
                with torch.inference_mode():
                    encoded = self.taught.sources([texts[i] for i in part]).vectors
                    found[part] = self.taught.model.projector(encoded).float().cpu().numpy()
                progress.advance(len(part))
        return found

    def targets(self, pairs: Sequence[Pair], batch_size: int) -> Vectors:
        """The teacher's states of the English, (n, d_dec): what :meth:`vectors` should be nearest to."""
        states = self._states([pair.english for pair in pairs], batch_size, adapted=False)
        if not self._with_slots or self.taught is None:
            return states
        with torch.inference_mode():
            aim = torch.from_numpy(states).to(self.decoder.device)
            normal: Vectors = self.taught.model.projector.normalise(aim).cpu().numpy()
        return normal

    def _states(self, texts: Sequence[str], batch_size: int, adapted: bool) -> Vectors:
        found = np.zeros((len(texts), self.decoder.dim), np.float32)
        with track("the decoder's states", "texts", len(texts)) as progress:
            for part in by_length(texts, batch_size):
                found[part] = self.decoder.teacher_states([texts[i] for i in part], adapted=adapted).numpy()
                progress.advance(len(part))
        return found


def by_length(items: Sequence[Sized], batch_size: int) -> Iterator[list[int]]:
    """Places in batches of like length."""
    order = sorted(range(len(items)), key=lambda i: len(items[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
