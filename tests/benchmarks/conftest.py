"""The benchmarks are scripts beside the package, not modules of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """``script("tokens")`` is benchmarks/tokens.py."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module
