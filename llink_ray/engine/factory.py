"""Creates the decoder engine of a deployment: the one place that chooses an implementation."""

from __future__ import annotations

from llink_ray.engine.protocol import DecoderEngine, EngineLimits
from llink_ray.settings import DecoderSettings


def create_engine(
    decoder: DecoderSettings, limits: EngineLimits | None = None, device: str = "cpu"
) -> DecoderEngine:
    """An engine with the decoder loaded, not started.

    Raises:
        LlinkError: the decoder cannot be loaded or served.
    """
    from llink_ray.engine.batched_engine import BatchedEngine
    from llink_ray.models.decoder import Decoder

    return BatchedEngine(Decoder.load(decoder, device), limits)
