"""Tensors beside a bundle's weights, in files that name the version of their own form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llink_ray.errors import LlinkError


@contextmanager
def opened(file: Path, version: str, framework: Literal["pt", "numpy"]) -> Iterator[Any]:
    """A safetensors file whose metadata name ``version``, as ``safetensors.safe_open`` gives it.

    Raises:
        LlinkError: damaged, or of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework=framework) as tensors:
            found = (tensors.metadata() or {}).get("version")
            if found != version:
                raise LlinkError(
                    f"{file} has version {found!r}, this llink_ray reads {version}: "
                    "install the llink_ray that wrote it, or train the bundle again"
                )
            yield tensors
    except (SafetensorError, OSError) as error:
        raise LlinkError(f"{file} cannot be read ({error}): copy the bundle again") from error
