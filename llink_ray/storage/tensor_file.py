"""Safetensors files that name the version of their own layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llink_ray.errors import LlinkError


@contextmanager
def open_versioned(file: Path, version: str, framework: Literal["pt", "numpy"]) -> Iterator[Any]:
    """``safetensors.safe_open`` of a file whose metadata name ``version``.

    Raises:
        LlinkError: damaged, or of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework=framework) as tensors:
            actual = (tensors.metadata() or {}).get("version")
            if actual != version:
                raise LlinkError(
                    f"{file} has version {actual!r}, this llink_ray reads {version}: "
                    "install the llink_ray that wrote it, or train the bundle again"
                )
            yield tensors
    except (SafetensorError, OSError) as error:
        raise LlinkError(f"{file} cannot be read ({error}): copy the bundle again") from error
