"""Languages on disk, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from decoding_zoo import Speaker, engine_for, speaker
from model_zoo import write_decoder

from llink_ray.engine.batched_engine import BatchedEngine

RANKS = {"bo": 4, "km": 2, "am": 8}


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Speaker]]:
    """Decoder's name -> three languages on it, with adapters of different rank."""
    root = tmp_path_factory.mktemp("spoken")

    @cache
    def of(family: str) -> list[Speaker]:
        model = family if family == "embedded" else str(write_decoder(root / family / "decoder", family))
        return [speaker(root / family / name, name, model, rank) for name, rank in RANKS.items()]

    return of


@pytest.fixture(scope="session")
def speakers(spoken: Callable[[str], list[Speaker]]) -> list[Speaker]:
    """Three languages on the embedded decoder."""
    return spoken("embedded")


@pytest.fixture
def engine(speakers: list[Speaker]) -> BatchedEngine:
    """An engine for these, not started."""
    return engine_for(speakers)
