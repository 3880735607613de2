"""Loading the frozen models for extraction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llink_ray.errors import JobFailed
from llink_ray.features.spec import Dtype, ModelSettings, Shard, What
from llink_ray.settings import DecoderSettings, EncoderSettings

Loader = Callable[[What, ModelSettings, str, Dtype], Any]
"""(kind of features, model settings, torch device, dtype) -> ``Encoder`` or ``Decoder``, or one like it."""


def load_model(what: What, settings: ModelSettings, device: str, dtype: Dtype = "float32") -> Any:
    """The :data:`Loader` of the real models, which are imported only when there is something to compute."""
    import torch

    weights: torch.dtype = getattr(torch, dtype)
    if what == "teacher":
        from llink_ray.models.decoder import Decoder

        return Decoder.load(cast(DecoderSettings, settings), device, weights)
    from llink_ray.models.encoder import Encoder

    return Encoder.load(cast(EncoderSettings, settings), device, weights)


class ModelHolder:
    """Keeps the last model, so that shards in order load each model once and two never share memory."""

    def __init__(self, load: Loader, device: str) -> None:
        self._load, self._device = load, device
        self._kind: tuple[bool, ModelSettings, Dtype] | None = None
        self._model: Any = None

    def get(self, shard: Shard) -> Any:
        """The model of a shard.

        Raises:
            JobFailed: it is not the model that the features are named after.
        """
        kind = (shard.what == "teacher", shard.model, shard.dtype)
        if kind != self._kind:
            self._model = None  # frees its memory before the next is loaded
            self._model = self._load(shard.what, shard.model, self._device, shard.dtype)
            self._kind = kind
        if self._model.fingerprint != shard.fingerprint:
            raise JobFailed(
                f"The files of {shard.model.model} differ from those the job was started with "
                f"({self._model.fingerprint[:12]} here, {shard.fingerprint[:12]} there): give every machine "
                f"of the cluster the same model directory, or use a hub id with a revision."
            )
        return self._model
