"""The tiny world of packages, made once; each test has a cache and a catalogue of its own."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
from pretrained_world import World, make_world


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """What no test changes."""
    return make_world(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture
def world(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy, in force for this process."""
    mine = World(tmp_path / "world", copy.deepcopy(made.models))
    shutil.copytree(made.wheels, mine.wheels)
    shutil.copy(made.root / "reference.json", mine.root)
    mine.write()
    for name, value in mine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(mine.root / "hf" / "hub"))
    return mine
