"""What the deployments send one another: plain values, safe to pickle between processes of one release."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from llink_ray.engine import SamplingParams

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BundleRef:
    """A published bundle. Its files never change, so replicas load it when they are first asked for it."""

    language: str
    """Code."""
    version: str
    """``v0001``."""
    digest: str
    """SHA-256 over all of its files."""

    @property
    def name(self) -> str:
        """``bo@v0001-<digest>``: the key in caches and adapter pools."""
        return f"{self.language}@{self.version}-{self.digest[:16]}"


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Slots of one text."""

    slots: Floats
    """(K+2, d_dec)."""
    out_of_domain: bool | None
    """Whether the text is unlike the training text of its bundle; None where the bundle cannot tell."""
    characters_read: int
    """The encoder reads so many characters from the start; the rest was truncated."""


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Slots of N texts."""

    texts: list[EncodedText]
    cache_hits: int


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """Vectors of N texts."""

    vectors: Floats
    """(N, d)."""
    characters_read: list[int]
    """As ``EncodedText.characters_read``."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt for the decoder."""

    ids: tuple[int, ...]
    """Token ids, ``SLOT_ID`` in the place of each row of ``slots``."""
    slots: Floats | None = None
    """(N, d_dec): rows in prompt order."""
    adapter: BundleRef | None = None
    """None is the base decoder."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    seconds: float | None = None
    """Deadline."""
    grounding: bool = False
    """Also measure how much likelier the answer is with its slots than with zeros instead."""


@dataclass(frozen=True, slots=True)
class DecoderStats:
    """State of a decoder replica."""

    running: int
    waiting: int
    tokens: int
    """Completion tokens since its start."""
    cancelled: int
    adapters: tuple[str, ...]
    rows: int
    """Sum of the batch sizes of all steps; over ``steps`` it is the mean batch size."""
    steps: int
