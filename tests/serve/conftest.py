"""One registry and one running API for all tests of the service that do not change it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_zoo import LANGUAGES, Running, teach, up

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.bundles.registry import Registry

# A line for each request goes to stderr itself, past pytest, unless somebody else takes it.
logging.getLogger("llink_ray.serve.access").addHandler(logging.NullHandler())


@pytest.fixture(scope="session")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, LlinkPipeline]]:
    """Bundle and taught decoder of each language."""
    folder = tmp_path_factory.mktemp("lessons")
    return {code: (folder / code, teach(folder / code, code)) for code in LANGUAGES}


@pytest.fixture(scope="session")
def registry(
    lessons: dict[str, tuple[Path, LlinkPipeline]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A registry with a version of each."""
    root = tmp_path_factory.mktemp("registry")
    for bundle, _ in lessons.values():
        Registry(root).publish(bundle)
    return root


@pytest.fixture(scope="session")
def api(registry: Path) -> Iterator[Running]:
    """The API over it, open to everybody."""
    with up(registry) as running:
        yield running
