"""What goes from one deployment to another: plain values that can be pickled by those who wrote them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from llink_ray.engine import SamplingParams

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BundleRef:
    """One published bundle; its files never change, so replicas load it when they are first asked for it."""

    language: str
    """Code."""
    version: str
    """``v0001``."""
    digest: str
    """Over every byte of it."""

    @property
    def name(self) -> str:
        """``bo@v0001``, and whose bytes: an address in caches and pools."""
        return f"{self.language}@{self.version}-{self.digest[:16]}"


@dataclass(frozen=True, slots=True)
class EncodedText:
    """What was made of one text."""

    slots: Floats
    """(K+2, d_dec)."""
    outside: bool | None
    """Whether it is unlike the text that its bundle was trained on; None where the bundle does not say."""
    characters: int
    """How many of it were read: what is behind them was cut."""


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """What was made of N texts."""

    texts: list[EncodedText]
    hits: int
    """How many of them were in the cache."""


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """Vectors of N texts."""

    rows: Floats
    """(N, d)."""
    characters: list[int]
    """How many characters of each were read: what is behind them was cut."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer that is asked of the decoder."""

    ids: tuple[int, ...]
    """Token ids, ``SLOT_ID`` where a row of ``slots`` goes."""
    slots: Floats | None = None
    """(N, d_dec): rows in the order of their places."""
    adapter: BundleRef | None = None
    """None is the decoder as it came."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    seconds: float | None = None
    """Time it may take."""
    grounding: bool = False
    """Also say how much likelier the answer is with its slots than with zeros in their places."""


@dataclass(frozen=True, slots=True)
class DecoderStats:
    """What a decoder replica is at."""

    running: int
    waiting: int
    tokens: int
    """Completion tokens made since it started."""
    cancelled: int
    adapters: tuple[str, ...]
    rows: int
    """Rows that have run, over all steps; with ``steps``, the mean batch."""
    steps: int
