"""Which features of which texts by which model: the identity of a set of features."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from llink_ray.errors import LlinkError
from llink_ray.settings import DecoderSettings, EncoderSettings, Settings

What = Literal["encoder", "encoder+tokens", "teacher"]
"""The encoder's sentence vectors; the same with its token states; the decoder's teacher states."""

Dtype = Literal["float32", "bfloat16"]
"""Number format in which the frozen models compute; vectors are stored as float32 either way."""

ModelSettings = EncoderSettings | DecoderSettings

# The fingerprint stands for the weights, so that a moved directory finds its features again. Every other
# field counts: one that is added later and forgotten here costs a recomputation, not a wrong value.
_WITHOUT_EFFECT = {"model", "revision", "gradient_checkpointing", "system"}


def extraction_dtype(settings: Settings) -> Dtype:
    """The value of ``features.dtype`` with ``auto`` resolved; every GPU is taken to compute in bfloat16."""
    if settings.features.dtype != "auto":
        return settings.features.dtype
    if settings.cluster.gpus_per_worker > 0:
        return "bfloat16"
    from llink_ray.models.precision import computes_bf16

    return "bfloat16" if computes_bf16() else "float32"


def text_id(text: str) -> bytes:
    """16 bytes that identify a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class Shard:
    """One unit of work and of resume, small enough to be sent to a task."""

    space: str
    index: int
    total: int
    what: What
    texts: tuple[str, ...]
    model: ModelSettings
    fingerprint: str
    state_dtype: str
    dtype: Dtype

    @cached_property
    def ids(self) -> tuple[bytes, ...]:
        """Ids of its texts."""
        return tuple(map(text_id, self.texts))

    @cached_property
    def name(self) -> str:
        """File in the store, named after its texts."""
        return f"{self.space}/{hashlib.sha256(b''.join(self.ids)).hexdigest()[:24]}.safetensors"


@dataclass(frozen=True)
class FeatureSpec:
    """Texts in order, a frozen model, and which of its outputs.

    ``fingerprint`` identifies the weights (``Encoder.fingerprint``). It is known without loading them; the
    model that is loaded for missing shards is checked against it.
    """

    what: What
    texts: tuple[str, ...]
    model: ModelSettings
    fingerprint: str
    shard_size: int = 1_024
    state_dtype: Literal["float16", "float32"] = "float16"
    dtype: Dtype = "float32"

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
    def space(self) -> str:
        """Hash of everything but the texts that the stored values depend on.

        Texts of all corpora, languages and runs that share a space share its values: the English of a
        sentence that stands in ten corpora is read once.
        """
        head = {
            "what": self.what,
            "fingerprint": self.fingerprint,
            "options": self.options,
            "state_dtype": self.state_dtype if self.what == "encoder+tokens" else None,
        }
        if self.dtype != "float32":
            head["dtype"] = self.dtype
        return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:24]

    @cached_property
    def ids(self) -> list[bytes]:
        """Id of each text, in order."""
        return [text_id(text) for text in self.texts]

    @cached_property
    def key(self) -> str:
        """Hash of the space and of the texts in their order."""
        return hashlib.sha256(self.space.encode() + b"".join(self.ids)).hexdigest()

    def shards(self, stored: frozenset[bytes] | set[bytes] = frozenset()) -> list[Shard]:
        """Distinct texts cut into units of work, without those whose ids are ``stored``.

        The cut does not depend on what is stored, and each unit is a fair sample of all texts, so that
        the time left can be estimated from the time spent.
        """
        distinct = sorted(dict(zip(self.ids, self.texts, strict=True)).items())
        cuts = [distinct[i : i + self.shard_size] for i in range(0, len(distinct), self.shard_size)]
        units = [tuple(text for identity, text in cut if identity not in stored) for cut in cuts]
        remaining = [unit for unit in units if unit]
        return [
            Shard(
                space=self.space,
                index=index,
                total=len(remaining),
                what=self.what,
                texts=texts,
                model=self.model,
                fingerprint=self.fingerprint,
                state_dtype=self.state_dtype,
                dtype=self.dtype,
            )
            for index, texts in enumerate(remaining)
        ]
