"""The zoo on disk, and one short training of each of its decoders, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from model_zoo import FAMILIES, Lesson, learn, small_settings, write_bert, write_decoder, write_sentence_bert


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each family, and the encoders ``bert`` and ``sentence-bert``."""
    root = tmp_path_factory.mktemp("zoo")
    for family in FAMILIES:
        write_decoder(root / family, family)
    write_sentence_bert(root / "sentence-bert", write_bert(root / "bert"))
    return root


@pytest.fixture(scope="session")
def lesson(zoo: Path) -> Callable[[str], Lesson]:
    """Decoder's name -> its training with an encoder of another kind; ``embedded`` is the package's own."""
    encoders = {"qwen2": "bert", "gpt-neox": "sentence-bert", "gpt2": "sentence-bert"}

    @cache
    def of(name: str) -> Lesson:
        encoder = encoders.get(name, "embedded")
        settings = small_settings(
            "embedded" if encoder == "embedded" else str(zoo / encoder),
            "embedded" if name == "embedded" else str(zoo / name),
            encoder={"pooling": "mean"} if encoder == "bert" else {},
            slots={"variant": "mean"} if name == "gpt-neox" else {},
        )
        return learn(settings)

    return of
