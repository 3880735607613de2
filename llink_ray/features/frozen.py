"""The frozen models as extraction sees them, and how one is had when there is work for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from llink_ray.errors import JobFailed
from llink_ray.features.spec import Dtype, ModelSettings, Shard, What
from llink_ray.settings import DecoderSettings, EncoderSettings

if TYPE_CHECKING:
    import torch


class _Encoded(Protocol):
    vectors: torch.Tensor  # (B, d)
    tokens: torch.Tensor | None  # (B, T, d)
    mask: torch.Tensor | None  # (B, T) bool


class FrozenModel(Protocol):
    """What encoder and decoder have in common here."""

    fingerprint: str

    def token_counts(self, texts: list[str]) -> list[int]:
        """Tokens the model would read of each text."""


class FrozenEncoder(FrozenModel, Protocol):
    """Text to sentence vectors and token states."""

    def encode(self, texts: list[str], with_tokens: bool) -> _Encoded:
        """One forward."""


class FrozenDecoder(FrozenModel, Protocol):
    """Text to teacher states."""

    def teacher_states(self, texts: list[str]) -> torch.Tensor:
        """One forward: (B, d)."""


Loader = Callable[[What, ModelSettings, str, Dtype], FrozenModel]
"""Builds the model for a kind of features, from its settings, on a torch device, in a dtype."""


def load_model(what: What, settings: ModelSettings, device: str, dtype: Dtype = "float32") -> FrozenModel:
    """The real models, imported only when there is something to compute."""
    import torch

    weights: torch.dtype = getattr(torch, dtype)
    if what == "teacher":
        from llink_ray.models.decoder import Decoder

        return cast(FrozenModel, Decoder.load(cast(DecoderSettings, settings), device, weights))
    from llink_ray.models.encoder import Encoder

    return cast(FrozenModel, Encoder.load(cast(EncoderSettings, settings), device, weights))


class ModelHolder:
    """Keeps the last model, so that shards in order load each model once and two never share memory."""

    def __init__(self, load: Loader, device: str) -> None:
        self._load, self._device = load, device
        self._kind: tuple[bool, ModelSettings, Dtype] | None = None
        self._model: FrozenModel | None = None

    def get(self, shard: Shard) -> FrozenModel:
        """The model of a shard.

        Raises:
            JobFailed: it is not the model that the features are named after.
        """
        kind = (shard.what == "teacher", shard.model, shard.dtype)
        if self._model is None or kind != self._kind:
            self._model = None  # let go of the one before first
            self._model = self._load(shard.what, shard.model, self._device, shard.dtype)
            self._kind = kind
        if self._model.fingerprint != shard.fingerprint:
            raise JobFailed(
                f"The files of {shard.model.model} differ from those the job was started with "
                f"({self._model.fingerprint[:12]} here, {shard.fingerprint[:12]} there): give every machine "
                f"of the cluster the same model directory, or use a hub id with a revision."
            )
        return self._model
