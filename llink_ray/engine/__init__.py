"""Decoder engines: many languages in one running batch over one frozen decoder.

Only the protocol and its plain values are imported here; an engine has a module of its own.
"""

from llink_ray.engine.handle import Listener, RequestHandle
from llink_ray.engine.protocol import DecoderEngine, EngineLimits, Snapshot
from llink_ray.engine.types import (
    Answer,
    EngineRequest,
    FinishInfo,
    FinishReason,
    PromptInput,
    QueueFull,
    SamplingParams,
    StreamEvent,
    TokenLogprob,
    Usage,
)

__all__ = [
    "Answer",
    "DecoderEngine",
    "EngineLimits",
    "EngineRequest",
    "FinishInfo",
    "FinishReason",
    "Listener",
    "PromptInput",
    "QueueFull",
    "RequestHandle",
    "SamplingParams",
    "Snapshot",
    "StreamEvent",
    "TokenLogprob",
    "Usage",
]
