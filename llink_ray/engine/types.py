"""What is asked of an engine and what it says: plain values, nothing that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from llink_ray.errors import LlinkError
from llink_ray.prompts.builder import SLOT_ID

if TYPE_CHECKING:
    import torch

FinishReason = Literal["stop", "length", "cancelled", "deadline", "error"]
"""Why it ended: the answer's end or a stop string, ``max_tokens`` or the context, cancelled, late, failed."""


class QueueFull(LlinkError):
    """The queue is full: nothing is wrong with the request, ask again later."""

    exit_code = 1


@dataclass(frozen=True, eq=False)
class PromptInput:
    """One prompt: token ids with slots in their places, or ready embeddings."""

    ids: tuple[int, ...] = ()
    """S token ids; ``SLOT_ID`` where a row of ``slots`` goes, in order."""
    slots: torch.Tensor | None = None
    """(R, d): a row for each ``SLOT_ID`` of ``ids``, in order, as ``SlotModule.prompt_rows`` gives them."""
    embedded: torch.Tensor | None = None
    """(S, d) input embeddings, instead of ``ids``."""

    @property
    def length(self) -> int:
        """S: the prompt tokens that are really fed."""
        return len(self.ids) if self.embedded is None else len(self.embedded)

    def check(self, dim: int, vocabulary: int) -> None:
        """Refuse what the decoder could not read.

        Raises:
            LlinkError: empty, both kinds at once, another width, an unknown id, places and slots differ.
        """
        if (self.embedded is None) == (not self.ids):
            raise LlinkError(
                "a prompt is token ids or embeddings, one of the two: give one that is not empty"
            )
        if self.embedded is not None:
            if self.embedded.ndim != 2 or self.embedded.shape[1] != dim or not len(self.embedded):
                shape = tuple(self.embedded.shape)
                raise LlinkError(f"prompt embeddings are of shape {shape}: this decoder reads (S, {dim})")
            return
        places = sum(i == SLOT_ID for i in self.ids)
        if any(not 0 <= i < vocabulary for i in self.ids if i != SLOT_ID):
            raise LlinkError(f"a prompt's token ids are 0 to {vocabulary - 1}: one of them is not")
        if self.slots is not None and (self.slots.ndim != 2 or self.slots.shape[1] != dim):
            shape = tuple(self.slots.shape)
            raise LlinkError(f"slots are of shape {shape}: this decoder reads (R, {dim})")
        given = 0 if self.slots is None else len(self.slots)
        if places != given:
            raise LlinkError(f"the prompt has {places} slot places and {given} slots: they belong together")


@dataclass(frozen=True)
class SamplingParams:
    """How the answer is chosen; the defaults are greedy."""

    max_tokens: int = 256
    """Completion tokens at most, the one that ends the answer included."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """The likeliest tokens that together have this probability are kept."""
    seed: int | None = None
    """Same seed, same answer, whatever else runs; without one it is drawn."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these; nothing of it is emitted."""
    logprobs: int | None = None
    """How many likeliest alternatives come with each token; None: no log-probabilities at all."""
    strip: bool = True
    """Leave out blanks around the answer, as ``LlinkPipeline.answer`` does."""

    def __post_init__(self) -> None:
        wrong = (
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
        for is_wrong, why in wrong:
            if is_wrong:
                raise LlinkError(why)


@dataclass(frozen=True, eq=False)
class EngineRequest:
    """One answer that is asked for."""

    prompt: PromptInput
    adapter: str | None = None
    """Name in the pool; None is the decoder as it came."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    seconds: float | None = None
    """Deadline, from the moment it is submitted."""


@dataclass(frozen=True)
class TokenLogprob:
    """A token of the answer with what the decoder thought of it."""

    id: int
    text: str
    """A name: its text, ``bytes:\\xe0\\xbd`` for pieces of letters, or what a special token is called."""
    logprob: float
    """Natural logarithm, of the decoder's own distribution: before temperature and top_p."""
    bytes: bytes = b""
    """What is said of it, in UTF-8, also where that is a piece of a letter."""
    top: tuple[TokenLogprob, ...] = ()
    """The likeliest, best first, without others of their own."""


@dataclass(frozen=True)
class Usage:
    """Tokens that were really fed and made."""

    prompt_tokens: int
    completion_tokens: int
    """The token that ended the answer included."""


@dataclass(frozen=True)
class FinishInfo:
    """The end of a request; nothing comes after it."""

    reason: FinishReason
    usage: Usage
    error: str | None = None
    """What went wrong, where ``reason`` is ``error``."""


@dataclass(frozen=True)
class StreamEvent:
    """What is new: text, tokens (where log-probabilities were asked for), the end."""

    text: str = ""
    tokens: tuple[TokenLogprob, ...] = ()
    finish: FinishInfo | None = None


@dataclass(frozen=True)
class Answer:
    """All events of a request put together."""

    text: str
    tokens: tuple[TokenLogprob, ...]
    finish: FinishInfo
