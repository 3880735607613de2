"""Benchmarks are scripts beside the package, not modules of it: their folder goes on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def script() -> Callable[[str], ModuleType]:
    """``script("tokens")`` is benchmarks/tokens.py."""
    return importlib.import_module
