"""What goes into a decoder engine and what comes out: plain values, with numpy arrays for embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from llink_ray.errors import LlinkError
from llink_ray.prompts import SLOT_ID

FloatArray = npt.NDArray[np.float32]
FinishReason = Literal["stop", "length", "cancelled", "deadline", "error"]
"""End token or stop string; ``max_tokens`` or the context; cancelled; out of time; failed."""


class QueueFull(LlinkError):
    """The engine's queue is full: nothing is wrong with the request, try again later."""

    exit_code = 1


@dataclass(frozen=True, eq=False)
class PromptInput:
    """One prompt: token ids, with embeddings in place of some of them."""

    ids: tuple[int, ...]
    """S token ids; ``SLOT_ID`` where a row of ``slots`` goes, in order."""
    slots: FloatArray | None = None
    """(R, d) float32: a row for each ``SLOT_ID`` of ``ids``, in order."""

    @property
    def length(self) -> int:
        """S."""
        return len(self.ids)

    @property
    def token_mask(self) -> npt.NDArray[np.bool_]:
        """(S,): True at tokens, False where ``slots`` go."""
        return np.not_equal(self.ids, SLOT_ID)

    def check(self, hidden_size: int, vocab_size: int) -> None:
        """Refuse what a decoder of these sizes cannot read.

        Raises:
            LlinkError: empty, an unknown id, slots of another width or number, or not finite.
        """
        if not self.ids:
            raise LlinkError("a prompt is empty: give at least one token id")
        if any(not 0 <= i < vocab_size for i in self.ids if i != SLOT_ID):
            raise LlinkError(f"a prompt's token ids are 0 to {vocab_size - 1}: one of them is not")
        places, rows = self.ids.count(SLOT_ID), 0
        if self.slots is not None:
            if self.slots.ndim != 2 or self.slots.shape[1] != hidden_size:
                raise LlinkError(
                    f"slots are of shape {self.slots.shape}: this decoder reads (R, {hidden_size})"
                )
            if not np.isfinite(self.slots).all():
                raise LlinkError("slots are not finite numbers: their bundle is damaged, train it again")
            rows = len(self.slots)
        if places != rows:
            raise LlinkError(f"the prompt has {places} slot places and {rows} slots: they belong together")


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen; greedy by default."""

    max_tokens: int = 256
    """Completion tokens at most, the end token included."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Nucleus sampling: the likeliest tokens that together have this probability are kept."""
    seed: int | None = None
    """The same seed gives the same answer whatever else runs; None draws one."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these strings; nothing of it is emitted."""
    logprobs: int | None = None
    """Number of likeliest alternatives reported with each token; None: no log-probabilities."""
    strip: bool = True
    """Leave out white space around the answer, as ``LlinkPipeline.answer`` does."""

    def __post_init__(self) -> None:
        checks = (
            (self.max_tokens < 1, f"max_tokens is {self.max_tokens}: at least 1"),
            (not 0 <= self.temperature < float("inf"), f"temperature is {self.temperature}: 0 or more"),
            (not 0 < self.top_p <= 1, f"top_p is {self.top_p}: above 0, at most 1"),
            (not all(self.stop), "a stop string is empty: leave it out"),
            (self.logprobs is not None and self.logprobs < 0, f"logprobs is {self.logprobs}: 0 or more"),
            (
                self.seed is not None and not -(2**63) <= self.seed < 2**63,
                f"seed is {self.seed}: it has to fit in 64 bits",
            ),
        )
        for is_wrong, message in checks:
            if is_wrong:
                raise LlinkError(message)


@dataclass(frozen=True, eq=False)
class EngineRequest:
    """One answer to generate."""

    prompt: PromptInput
    adapter: str | None = None
    """Name of a loaded adapter; None is the base decoder."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    timeout: float | None = None
    """Seconds from submission after which it ends with reason ``deadline``."""


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its log-probability."""

    id: int
    text: str
    """Its text, ``bytes:\\xe0\\xbd`` for part of a character, or the name of a special token."""
    logprob: float
    """Natural logarithm, of the decoder's own distribution: before temperature and top_p."""
    bytes: bytes = b""
    """UTF-8 that it adds to the answer, possibly part of a character."""
    top_logprobs: tuple[TokenLogprob, ...] = ()
    """The likeliest tokens at its place, best first, without alternatives of their own."""


@dataclass(frozen=True)
class Usage:
    """Tokens really processed."""

    prompt_tokens: int
    completion_tokens: int
    """The end token included."""


@dataclass(frozen=True)
class FinishInfo:
    """How a request ended."""

    reason: FinishReason
    usage: Usage
    error: str | None = None
    """What went wrong, where ``reason`` is ``error``."""


@dataclass(frozen=True)
class StreamEvent:
    """New text, its tokens (where log-probabilities were requested), and the end; nothing follows the end."""

    text: str = ""
    tokens: tuple[TokenLogprob, ...] = ()
    finish: FinishInfo | None = None


@dataclass(frozen=True)
class Answer:
    """All events of a request put together."""

    text: str
    tokens: tuple[TokenLogprob, ...]
    finish: FinishInfo
