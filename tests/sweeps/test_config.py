"""``sweep.json``: it comes back as it was, and what is no sweep of this version is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweep_files import searched, write
from sweep_world import config

from llink_ray.errors import LlinkError
from llink_ray.sweeps.config import FILE, read_config
from llink_ray.sweeps.search import read_search
from llink_ray.sweeps.trials import FILE as TRIALS


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    written = config(languages=("bo", "km"), joint=True, base_settings={"bo": {"seed": 3}}, forwards=5)
    written.write(tmp_path)
    assert read_config(tmp_path) == written


def test_a_sweep_of_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"job": "tune", "languages": ["bo"], "space": {"ranges": {}}}))
    with pytest.raises(LlinkError, match=r"begun by another version.*begin a new sweep"):
        read_config(tmp_path)


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match=r"not the directory of a sweep"):
        read_search(tmp_path)
    write(tmp_path, searched("bo", trials=2))
    journal = tmp_path / TRIALS
    journal.write_text("{torn\n" + journal.read_text())
    with pytest.raises(LlinkError, match=r"trials\.jsonl cannot be read"):
        read_search(tmp_path)
