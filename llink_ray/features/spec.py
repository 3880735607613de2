"""What is to be extracted from which texts by which model: the identity of a set of features."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from llink_ray.errors import LlinkError
from llink_ray.settings import DecoderSettings, EncoderSettings

What = Literal["encoder", "encoder+tokens", "teacher"]
"""Encoder's sentence vectors; the same with its token states; the decoder's teacher states."""

ModelSettings = EncoderSettings | DecoderSettings

# The fingerprint stands for the weights, so that a moved directory finds its features again. Every other
# field counts: one that is added later and forgotten here costs a recomputation, not a wrong value.
_WITHOUT_EFFECT = {"model", "revision", "gradient_checkpointing"}


@dataclass(frozen=True)
class Shard:
    """One unit of work and of resume; small enough to be sent to a task by itself."""

    key: str
    index: int
    total: int
    what: What
    texts: tuple[str, ...]
    model: ModelSettings
    fingerprint: str
    state_dtype: str

    @property
    def name(self) -> str:
        """File in the store."""
        return f"{self.key}/shard-{self.index:05d}.safetensors"


@dataclass(frozen=True)
class FeatureSpec:
    """Texts in order, a frozen model, and what of it is wanted.

    ``fingerprint`` identifies the weights (``Encoder.fingerprint``); it can be had without loading them,
    and the model that is loaded for missing shards is held against it.
    """

    what: What
    texts: tuple[str, ...]
    model: ModelSettings
    fingerprint: str
    shard_size: int = 4_096
    state_dtype: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        """Refuse what cannot be extracted.

        Raises:
            LlinkError: no texts.
            TypeError: settings of the other model.
        """
        if not self.texts:
            raise LlinkError(
                f"There are no texts to compute {self.what} features of: give at least one pair."
            )
        expected = DecoderSettings if self.what == "teacher" else EncoderSettings
        if not isinstance(self.model, expected):
            raise TypeError(f"{self.what} features need {expected.__name__}, not {type(self.model).__name__}")

    @cached_property
    def options(self) -> dict[str, Any]:
        """Extraction settings that change values."""
        return self.model.model_dump(mode="json", exclude=_WITHOUT_EFFECT)

    @cached_property
    def key(self) -> str:
        """Hash of everything that the stored values (and their cut into shards) depend on."""
        head = {
            "what": self.what,
            "fingerprint": self.fingerprint,
            "options": self.options,
            "state_dtype": self.state_dtype if self.what == "encoder+tokens" else None,
            "shard_size": self.shard_size,
        }
        digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        for text in self.texts:
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)  # the length keeps "ab","c" from "a","bc"
        return digest.hexdigest()

    @property
    def shards(self) -> int:
        """How many shards the texts make."""
        return -(-len(self.texts) // self.shard_size)

    def rows(self, index: int) -> int:
        """Texts in shard ``index``."""
        return min(self.shard_size, len(self.texts) - index * self.shard_size)

    def shard(self, index: int) -> Shard:
        """Shard ``index`` with its texts."""
        start = index * self.shard_size
        return Shard(
            key=self.key,
            index=index,
            total=self.shards,
            what=self.what,
            texts=self.texts[start : start + self.shard_size],
            model=self.model,
            fingerprint=self.fingerprint,
            state_dtype=self.state_dtype,
        )
