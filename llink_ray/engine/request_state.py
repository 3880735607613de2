"""A request while it waits or runs: its tokens so far and what of them was emitted."""

from __future__ import annotations

import torch

from llink_ray.engine.handle import RequestHandle
from llink_ray.engine.sampling import Sampler, token_logprob
from llink_ray.engine.text_stream import TextStream
from llink_ray.engine.token_alignment import TokenAligner
from llink_ray.engine.types import EngineRequest, FinishInfo, FinishReason, StreamEvent, TokenLogprob, Usage
from llink_ray.engine.vocabulary import Vocabulary


class RequestState:
    """One row of the batch; ``adapter`` is its row in the pool, ``deadline`` a time of the engine's clock."""

    def __init__(
        self,
        request: EngineRequest,
        handle: RequestHandle,
        vocabulary: Vocabulary,
        *,
        adapter: int,
        max_tokens: int,
        end_ids: frozenset[int],
        deadline: float | None = None,
    ) -> None:
        self.request, self.handle, self.adapter, self.deadline = request, handle, adapter, deadline
        self.max_tokens, self._end_ids = max_tokens, end_ids
        self.prompt_tokens = 0
        """Prompt tokens processed."""
        self.completion_tokens = 0
        """Tokens generated."""
        self.last_token = 0
        """The newest of them, to be fed next."""
        self.sampler = Sampler(request.sampling)
        self._vocabulary = vocabulary
        sampling = request.sampling
        self._aligner = None if sampling.logprobs is None else TokenAligner(sampling.strip)
        self._text = TextStream(vocabulary, sampling.stop, sampling.strip and self._aligner is None)

    @property
    def max_length(self) -> int:
        """Key/value positions that it can come to need."""
        return self.request.prompt.length + self.max_tokens

    def ending(self, now: float) -> FinishReason | None:
        """Why it has to end before its next token."""
        if self.handle.cancelled:
            return "cancelled"
        return "deadline" if self.deadline is not None and now >= self.deadline else None

    def advance(self, token_id: int, logits: torch.Tensor) -> bool:
        """Take the next token, chosen from logits (V,), and emit what is new. True while it goes on."""
        self.completion_tokens += 1
        self.last_token = token_id
        if token_id in self._end_ids:
            self._finish("stop", self._text.end(cut=False), complete=True)
            return False
        text, stopped = self._text.push(token_id)
        if self._aligner is not None:
            top_count = self.request.sampling.logprobs or 0
            end = self._text.decoded if self._text.complete else None
            self._aligner.push(token_logprob(logits, token_id, top_count, self._vocabulary), end)
        if stopped:
            self._finish("stop", text, complete=True)
            return False
        if self.completion_tokens >= self.max_tokens:
            self._finish("length", text + self._text.end(cut=True))
            return False
        text, tokens = self._aligner.ready(text, self._text.safe) if self._aligner else (text, ())
        if text or tokens:
            self.handle.publish(StreamEvent(text, tokens))
        return True

    def end(self, reason: FinishReason, error: str | None = None) -> None:
        """End it from outside, once; at a deadline, text held back for a stop string is still emitted."""
        if self.handle.finish is None:
            self._finish(reason, self._text.end(cut=True) if reason == "deadline" else "", error)

    def _finish(
        self, reason: FinishReason, text: str, error: str | None = None, complete: bool = False
    ) -> None:
        """Emit the last event; without ``complete`` the answer was cut."""
        tokens: tuple[TokenLogprob, ...] = ()
        if self._aligner is not None:
            text, tokens = self._aligner.last(text, self._text.safe, complete)
        usage = Usage(self.prompt_tokens, self.completion_tokens)
        self.handle.publish(StreamEvent(text, tokens, FinishInfo(reason, usage, error)))
