"""Registries on every kind of store, and a bundle for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_files import make_bundle
from pyarrow import fs
from registry_stores import Open, remote

from llink_ray.bundles.registry import Registry


@pytest.fixture(params=["path", "file uri", "subtree", "memory"])
def open_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """The same registry, opened anew at each call, on four kinds of store."""
    root = tmp_path / "the store"
    root.mkdir()
    if request.param == "memory":
        memory = fs._MockFileSystem()
        return lambda: Registry("models", memory)
    if request.param == "subtree":
        return lambda: remote(root)
    return lambda: Registry(root if request.param == "path" else root.as_uri())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")
