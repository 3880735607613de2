"""A loaded decoder, untrained or with a bundle: prompts, log-probabilities, answers, vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from llink_ray.evaluation.batches import by_length
from llink_ray.evaluation.held_out.likelihood import LogProbs, ScoringRequest, log_probabilities
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
class Query:
    """An instruction about a pair; without any text where ``pair`` is None."""

    instruction: str
    pair: Pair | None


class LoadedSystem:
    """The untrained decoder, or a bundle's pipeline; it reads one side of each pair.

    ``adapted``: in place of a pipeline, the decoder with adapters on it, which reads text as it is.
    """

    def __init__(
        self, decoder: Decoder, reads: Side, pipeline: LlinkPipeline | None = None, adapted: Any = None
    ) -> None:
        self.decoder, self.reads, self.pipeline, self.adapted = decoder, reads, pipeline, adapted

    @property
    def model(self) -> Any:
        """The causal model, with the bundle's adapters where there is one."""
        if self.pipeline is None:
            return self.decoder.model if self.adapted is None else self.adapted
        return self.pipeline.model.decoder

    @cached_property
    def _has_slots(self) -> bool:
        return self.pipeline is not None and self.pipeline.settings.slots.uses_slots

    def text(self, pair: Pair) -> str:
        """The text of a pair that this system is given."""
        text = pair.english if self.reads == "english" else pair.foreign
        return text if self.pipeline is None else self.pipeline.normalise(text)

    def prompt_ids(self, query: Query) -> tuple[int, ...]:
        """Token ids of a prompt, as training and serving write it; a pair is one text."""
        prompt = self.decoder.prompt_builder
        if query.pair is None:
            return tuple(prompt.text_prompt(query.instruction, ""))
        if self.pipeline is None:
            return tuple(prompt.text_prompt(query.instruction, self.text(query.pair)))
        parts, language = [Segment(self.text(query.pair))], find(self.pipeline.language)
        return tuple(prompt.slot_prompt(query.instruction, parts, self.pipeline.settings.slots, language))

    def embedded(
        self, rows: Sequence[Sequence[int]], foreign: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Left-padded input embeddings (B, S, d) and their mask (B, S)."""
        prompts = collate(rows).to(self.decoder.device)
        if self.pipeline is None:
            return self.tokens_embedded(prompts.ids), prompts.mask
        slots = self.pipeline.model.soft_slots(self.pipeline.encode(foreign)) if foreign else None
        return self.pipeline.model.embed(prompts, slots), prompts.mask

    def tokens_embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings (B, T, d) of token ids (B, T)."""
        embedded: torch.Tensor = self.decoder.model.get_input_embeddings()(ids.to(self.decoder.device))
        return embedded

    @contextmanager
    def _own_adapters(self) -> Iterator[None]:
        """Without the adapters that a bundle may have put into the same decoder."""
        untrained = self.pipeline is None and self.adapted is None
        with without_adapters(self.decoder.model) if untrained else nullcontext():
            yield

    def log_probabilities(
        self,
        queries: Sequence[Query],
        candidates: Sequence[Sequence[str]],
        batch_tokens: int,
        done: Advance = ignore_progress,
    ) -> list[list[LogProbs]]:
        """Of each token of each candidate answer; the last token ends the answer."""
        prompt = self.decoder.prompt_builder
        requests = [
            ScoringRequest(
                self.prompt_ids(query),
                (self.text(query.pair),) if query.pair is not None and self._has_slots else (),
                tuple(tuple(prompt.answer_ids(option)) for option in options),
            )
            for query, options in zip(queries, candidates, strict=True)
        ]
        with self._own_adapters():
            return log_probabilities(self, requests, batch_tokens, done)

    def answer(
        self, questions: Sequence[tuple[str, Pair]], batch_size: int, max_new_tokens: int
    ) -> list[str]:
        """Greedy answers, in order; the batch does not change them."""
        texts = [(instruction, self.text(pair)) for instruction, pair in questions]
        if self.pipeline is None:
            return self.decoder.answer_english(texts, batch_size, max_new_tokens, self.adapted)
        parts = [(instruction, [Segment(text)]) for instruction, text in texts]
        return self.pipeline.answer_all(parts, batch_size, max_new_tokens)

    def vectors(self, pairs: Sequence[Pair], batch_size: int) -> Vectors:
        """Vectors of the texts in the decoder's latent space, (n, d_dec).

        Of a bundle with slots, its projected vectors; else the decoder's states after the text.
        """
        texts = [self.text(pair) for pair in pairs]
        if not self._has_slots or self.pipeline is None:
            return self._states(texts, batch_size, adapted=self.pipeline is not None)
        vectors = np.zeros((len(texts), self.decoder.dim), np.float32)
        with track("vectors", "texts", len(texts)) as progress:
            for batch in by_length(texts, batch_size):
                with torch.inference_mode():
                    encoded = self.pipeline.encode([texts[i] for i in batch]).vectors
                    vectors[batch] = self.pipeline.model.projector(encoded).float().cpu().numpy()
                progress.advance(len(batch))
        return vectors

    def targets(self, pairs: Sequence[Pair], batch_size: int) -> Vectors:
        """The teacher's states of the English, (n, d_dec): what :meth:`vectors` should be nearest to."""
        states = self._states([pair.english for pair in pairs], batch_size, adapted=False)
        if not self._has_slots or self.pipeline is None:
            return states
        with torch.inference_mode():
            teacher = torch.from_numpy(states).to(self.decoder.device)
            normalised: Vectors = self.pipeline.model.projector.normalise(teacher).cpu().numpy()
        return normalised

    def _states(self, texts: Sequence[str], batch_size: int, adapted: bool) -> Vectors:
        states = np.zeros((len(texts), self.decoder.dim), np.float32)
        with track("the decoder's states", "texts", len(texts)) as progress:
            for batch in by_length(texts, batch_size):
                states[batch] = self.decoder.teacher_states(
                    [texts[i] for i in batch], adapted=adapted
                ).numpy()
                progress.advance(len(batch))
        return states
