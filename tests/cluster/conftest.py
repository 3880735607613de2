"""Runs that several tests look at, made once; they share one feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster_runs import Job, settings_file, task

from llink_ray.cluster.train_language import train_language


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature store."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="session")
def small_flags(store: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of a small run, but for its output."""
    file = settings_file(tmp_path_factory.mktemp("settings"))
    return ["--lang=tibetan", "--preset=tiny", f"--settings={file}", f"--set=features.directory={store}"]


@pytest.fixture(scope="session")
def one_worker(tmp_path_factory: pytest.TempPathFactory, small_flags: list[str]) -> Job:
    """A run of the real command with one worker, unbroken; the first that uses the store."""
    folder = tmp_path_factory.mktemp("one")
    with Job(folder, *small_flags, f"--output={folder / 'runs'}") as job:
        job.document()
    return job


@pytest.fixture(scope="session")
def two_workers(
    ray_cluster: None, one_worker: Job, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Document of a run with two workers, ZeRO 2, unbroken."""
    return train_language(task(tmp_path_factory.mktemp("two") / "run", store, "cluster.num_workers=2"))
