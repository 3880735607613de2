"""Languages on disk, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from engine_fixtures import TrainedLanguage, engine_for, trained_language
from model_zoo import write_decoder

from llink_ray.engine.batched_engine import BatchedEngine

RANKS = {"bo": 4, "km": 2, "am": 8}


@pytest.fixture(scope="session")
def languages_on(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[TrainedLanguage]]:
    """Decoder's name -> three languages on it, with adapters of different rank."""
    root = tmp_path_factory.mktemp("languages")

    @cache
    def of(family: str) -> list[TrainedLanguage]:
        model = family if family == "embedded" else str(write_decoder(root / family / "decoder", family))
        return [trained_language(root / family / name, name, model, rank) for name, rank in RANKS.items()]

    return of


@pytest.fixture(scope="session")
def languages(languages_on: Callable[[str], list[TrainedLanguage]]) -> list[TrainedLanguage]:
    """Three languages on the embedded decoder."""
    return languages_on("embedded")


@pytest.fixture
def engine(languages: list[TrainedLanguage]) -> BatchedEngine:
    """An engine for these, not started."""
    return engine_for(languages)
