"""Many languages in one batch over one base decoder: requests join and leave it between tokens."""

from llink_ray.engine.adapters import AdapterPool
from llink_ray.engine.batched import BatchedEngine
from llink_ray.engine.handle import Handle, Listener
from llink_ray.engine.protocol import Engine, Limits, Snapshot
from llink_ray.engine.request import (
    Answer,
    Done,
    Event,
    Full,
    Input,
    Reason,
    Request,
    Sampling,
    Token,
    Usage,
)

__all__ = [
    "AdapterPool",
    "Answer",
    "BatchedEngine",
    "Done",
    "Engine",
    "Event",
    "Full",
    "Handle",
    "Input",
    "Limits",
    "Listener",
    "Reason",
    "Request",
    "Sampling",
    "Snapshot",
    "Token",
    "Usage",
]
