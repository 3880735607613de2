"""What a server asks of an engine, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llink_ray.engine.handle import Listener, RequestHandle
from llink_ray.engine.types import EngineRequest, PromptInput, TokenLogprob

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of time and memory."""

    rows: int = 16
    """Requests that run together."""
    tokens: int = 16_384
    """Places of keys and values at most: rows times the columns that the longest can come to need."""
    prefill_tokens: int = 2_048
    """Places of prompts read between two tokens of the others; a longer prompt is read alone."""
    waiting: int = 256
    """Requests that wait; more are refused with ``QueueFull``."""
    patience: int = 2
    """Tokens that a request waits for company while half of the rows run: prompts cost less read together."""


@dataclass(frozen=True)
class Snapshot:
    """Counters since the engine was made."""

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    """Completion tokens made."""
    joins: int = 0
    """Requests that got a row."""
    finished: dict[str, int] = field(default_factory=dict)
    """By reason."""
    batch_sizes: dict[int, int] = field(default_factory=dict)
    """Rows of a decoding step -> steps."""

    @property
    def cancels(self) -> int:
        """Requests that somebody cancelled."""
        return self.finished.get("cancelled", 0)


class DecoderEngine(Protocol):
    """One base decoder, many adapters, many requests at once."""

    def start(self) -> None:
        """Begin to work through what is submitted."""

    def stop(self) -> None:
        """End everything that runs or waits, with reason ``error``."""

    def submit(self, request: EngineRequest, listener: Listener | None = None) -> RequestHandle:
        """Queue a request; from any thread.

        Raises:
            LlinkError: it cannot be answered here.
            Full: the queue is.
        """

    def score(
        self, prompts: Sequence[PromptInput], answer: str | Sequence[int], adapters: Sequence[str | None]
    ) -> list[float]:
        """Nats a token of one answer behind each prompt, read with the adapter of the same place.

        Raises:
            LlinkError: it cannot be read here.
        """

    def read(
        self, prompt: PromptInput, count: int, adapter: str | None = None
    ) -> Sequence[TokenLogprob | None]:
        """A prompt's tokens as the decoder expected them, and the likeliest behind it; none for slots.

        Raises:
            LlinkError: it cannot be read here.
        """

    def states(self, texts: Sequence[str]) -> torch.Tensor:
        """The decoder's own vectors of English texts, (N, d), float32."""

    def put(self, name: str, folder: Path | str) -> None:
        """Add or replace an adapter, from a bundle's ``lora/``.

        Raises:
            LlinkError: not one that this engine can serve.
        """

    def remove(self, name: str) -> None:
        """Take an adapter out; requests that have it finish with it.

        Raises:
            LlinkError: no adapter of that name.
        """

    @property
    def alive(self) -> bool:
        """Whether it works through what is submitted."""

    @property
    def adapters(self) -> list[str]:
        """Names that a request can ask for."""

    def snapshot(self) -> Snapshot:
        """Counters."""
