"""A request while it is waiting or running: its tokens so far and what of them was said."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch

from llink_ray.decoding.handle import Handle
from llink_ray.decoding.request import Done, Event, Reason, Request, Token, Usage
from llink_ray.decoding.sampling import Chooser, described
from llink_ray.decoding.text import TextStream


class Row:
    """One row of the batch."""

    def __init__(
        self,
        request: Request,
        handle: Handle,
        tokenizer: Any,
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
        self.choose = Chooser(request.sampling)
        self._tokenizer = tokenizer
        self._text = TextStream(tokenizer, request.sampling.stop, request.sampling.strip)
        self._tokens: deque[tuple[int, Token]] = deque()  # with the letters seen when it came

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
            self._finish("stop", self._text.end(cut=False))
            return False
        new, stopped = self._text.push(token)
        if self.request.sampling.logprobs is not None:
            spoken = described(logits, token, self.request.sampling.logprobs, self._tokenizer)
            self._tokens.append((self._text.seen, spoken))
        if stopped:
            self._finish("stop", new)
            return False
        if self.made >= self.budget:
            self._finish("length", new + self._text.end(cut=True))
            return False
        tokens = self._ready()
        if new or tokens:
            self.handle.publish(Event(new, tokens))
        return True

    def end(self, reason: Reason, error: str | None = None) -> None:
        """End it from outside, once; out of time, what was held back for a stop string is still said."""
        if self.handle.done is None:
            self._finish(reason, self._text.end(cut=True) if reason == "deadline" else "", error)

    def _ready(self) -> tuple[Token, ...]:
        """Tokens whose letters are all out: a stop string does not show in the log-probabilities either."""
        ready = []
        while self._tokens and self._tokens[0][0] <= self._text.safe:
            ready.append(self._tokens.popleft()[1])
        return tuple(ready)

    def _finish(self, reason: Reason, text: str, error: str | None = None) -> None:
        self.handle.publish(Event(text, self._ready(), Done(reason, Usage(self.fed, self.made), error)))
