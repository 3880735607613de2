"""A request while it is waiting or running: its tokens so far and what of them was said."""

from __future__ import annotations

import torch

from llink_ray.engine.handle import RequestHandle
from llink_ray.engine.sampling import Sampler, token_logprob
from llink_ray.engine.text_stream import TextStream
from llink_ray.engine.token_alignment import TokenAligner
from llink_ray.engine.types import (
    EngineRequest,
    FinishInfo,
    FinishReason,
    StreamEvent,
    TokenLogprob,
    Usage,
)
from llink_ray.engine.vocabulary import Vocabulary


class RequestState:
    """One row of the batch."""

    def __init__(
        self,
        request: EngineRequest,
        handle: RequestHandle,
        vocabulary: Vocabulary,
        adapter: int,
        budget: int,
        deadline: float | None,
    ) -> None:
        self.request, self.handle, self.adapter, self.deadline = request, handle, adapter, deadline
        self.budget = budget
        """Tokens that may be made."""
        self.fed = 0
        """Prompt tokens that were read."""
        self.made = 0
        """Tokens that were made."""
        self.last = 0
        """The newest of them, to be fed next."""
        self.choose = Sampler(request.sampling)
        self._vocabulary = vocabulary
        sampling = request.sampling
        self._spoken = None if sampling.logprobs is None else TokenAligner(sampling.strip)
        self._text = TextStream(vocabulary, sampling.stop, sampling.strip and self._spoken is None)

    @property
    def reserve(self) -> int:
        """Columns that this row can come to need."""
        return self.request.prompt.length + self.budget

    def overdue(self, now: float) -> bool:
        """Whether its time is up."""
        return self.deadline is not None and now >= self.deadline

    def advance(self, token: int, logits: torch.Tensor, ends: frozenset[int]) -> bool:
        """Take in the next token, chosen from logits (V,), and say what is new. True while it goes on."""
        self.made += 1
        self.last = token
        if token in ends:
            self._finish("stop", self._text.end(cut=False), whole=True)
            return False
        new, stopped = self._text.push(token)
        if self._spoken is not None:
            count = self.request.sampling.logprobs or 0
            seen = self._text.seen if self._text.whole else None
            self._spoken.push(token_logprob(logits, token, count, self._vocabulary), seen)
        if stopped:
            self._finish("stop", new, whole=True)
            return False
        if self.made >= self.budget:
            self._finish("length", new + self._text.end(cut=True))
            return False
        new, tokens = self._spoken.ready(new, self._text.safe) if self._spoken else (new, ())
        if new or tokens:
            self.handle.publish(StreamEvent(new, tokens))
        return True

    def end(self, reason: FinishReason, error: str | None = None) -> None:
        """End it from outside, once; out of time, what was held back for a stop string is still said."""
        if self.handle.finish is None:
            self._finish(reason, self._text.end(cut=True) if reason == "deadline" else "", error)

    def _finish(self, reason: FinishReason, text: str, error: str | None = None, whole: bool = False) -> None:
        """Say the last of it; one that is not ``whole`` was cut."""
        tokens: tuple[TokenLogprob, ...] = ()
        if self._spoken is not None:
            text, tokens = self._spoken.last(text, self._text.safe, whole)
        self.handle.publish(StreamEvent(text, tokens, FinishInfo(reason, Usage(self.fed, self.made), error)))
