"""The interface between the service and a decoder engine.

To add an engine, implement :class:`DecoderEngine` and create it in :mod:`llink_ray.engine.factory`. This
module and the types it names import only numpy, so that an engine may run in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llink_ray.engine.handle import Listener, RequestHandle
from llink_ray.engine.types import EngineRequest, FloatArray, PromptInput, TokenLogprob

if TYPE_CHECKING:
    from llink_ray.settings import TeacherSettings


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of time and memory."""

    rows: int = 16
    """Requests that run together."""
    tokens: int = 16_384
    """Key/value positions at most: rows times the longest that one of them can become."""
    prefill_tokens: int = 2_048
    """Prompt tokens processed between two decoding steps; a longer prompt is processed alone."""
    waiting: int = 256
    """Requests that wait; more are refused with ``QueueFull``."""
    patience: int = 2
    """Steps that a request waits for others to be prefilled with while half of the rows run."""


@dataclass(frozen=True)
class Snapshot:
    """Counters since the engine was created."""

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    """Completion tokens."""
    joins: int = 0
    """Requests that were prefilled."""
    finished: dict[str, int] = field(default_factory=dict)
    """Requests by :data:`~llink_ray.engine.types.FinishReason`."""
    batch_sizes: dict[int, int] = field(default_factory=dict)
    """Decoding steps by the number of rows in them."""

    @property
    def cancels(self) -> int:
        """Requests that were cancelled."""
        return self.finished.get("cancelled", 0)


class DecoderEngine(Protocol):
    """One frozen base decoder, many LoRA adapters, many requests at once; callable from any thread.

    What a caller can get wrong is checked before it reaches the batch (:meth:`PromptInput.check`, lengths,
    adapter names): no request may harm another.
    """

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the base decoder's weights, as bundles record it."""

    @property
    def max_model_len(self) -> int:
        """Tokens of a prompt and its answer together, at most."""

    @property
    def alive(self) -> bool:
        """Whether submitted requests are being processed."""

    def start(self) -> None:
        """Begin to process requests; no effect when started."""

    def stop(self) -> None:
        """End all running and waiting requests with reason ``error``; further ones are refused."""

    def snapshot(self) -> Snapshot:
        """Counters."""

    # Generation

    def submit(self, request: EngineRequest, listener: Listener | None = None) -> RequestHandle:
        """Queue a request; its handle streams events and cancels it.

        Raises:
            LlinkError: an impossible prompt, an unknown adapter, or the engine is stopped.
            TooLong: no room for an answer within :attr:`max_model_len`.
            QueueFull: try again later.
        """

    # Scoring

    def score(
        self, prompts: Sequence[PromptInput], answer: Sequence[int], adapters: Sequence[str | None]
    ) -> list[float]:
        """Mean negative log-likelihood, in nats a token, of one answer's token ids behind each prompt.

        ``adapters[i]`` is the adapter that ``prompts[i]`` is read with.

        Raises:
            LlinkError: an impossible prompt or answer, an unknown adapter, or the engine is stopped.
            TooLong: prompt and answer exceed :attr:`max_model_len`.
        """

    def prompt_logprobs(
        self, prompt: PromptInput, top_count: int, adapter: str | None = None
    ) -> list[TokenLogprob | None]:
        """Log-probabilities of a prompt's S tokens, each with ``top_count`` alternatives: S + 1 entries.

        None for the first token, which has nothing before it, and for slots. The last entry is the likeliest
        token behind the prompt.

        Raises:
            LlinkError: an impossible prompt, an unknown adapter, or output that is not finite.
            TooLong: the prompt exceeds :attr:`max_model_len`.
        """

    def teacher_states(self, texts: Sequence[str], teacher: TeacherSettings | None = None) -> FloatArray:
        """(N, d): the base decoder's vectors of English texts (paper, section 3.2), read as ``teacher`` says.

        Without ``teacher``, as the decoder's own settings say.
        """

    # Adapters

    @property
    def adapters(self) -> list[str]:
        """Names of the loaded adapters, in alphabetical order."""

    def load_adapter(self, name: str, folder: Path) -> None:
        """Load a LoRA adapter in PEFT format while others decode.

        A name and a folder stand for one version of one adapter, so that engines may cache by either;
        loading it again is allowed.

        Raises:
            LlinkError: not an adapter that this engine can serve; nothing changed.
        """

    def unload_adapter(self, name: str) -> None:
        """Unload an adapter; requests that were submitted with it finish with it.

        Raises:
            LlinkError: no adapter of that name.
        """
