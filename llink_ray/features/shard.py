"""Files of the store: one shard is one safetensors file that carries the hash of its own values.

One file, because a single rename is atomic on every file system; safetensors, because its data can be
memory-mapped and is never code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

_DTYPES: dict[str, type[np.generic]] = {"F16": np.float16, "F32": np.float32, "I64": np.int64}

Index = npt.NDArray[np.int64]
Arrays = Mapping[str, np.ndarray[Any, Any]]
"""``vectors`` (n, d) float32; of token states also ``tokens`` (sum T, d), and ``offsets`` (n + 1) int64."""


class Damaged(ValueError):
    """The file is not a whole shard."""


def save(arrays: Arrays, path: Path) -> None:
    """Write ``arrays`` to ``path`` with their hash in the header."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # Written by Python, because a full disk is an OSError then.
    path.write_bytes(safetensors.numpy.save(whole, metadata={"sha256": _digest(whole)}))


def save_view(arrays: Mapping[str, Index], manifest: Mapping[str, Any], path: Path) -> None:
    """Write where each text of a spec is stored: ``shard`` (N,) and ``row`` (N,), and the manifest."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    record = json.dumps(manifest, ensure_ascii=False)
    path.write_bytes(safetensors.numpy.save(whole, metadata={"manifest": record}))


def load_view(path: Path) -> tuple[dict[str, Index], dict[str, Any]]:
    """What :func:`save_view` wrote.

    Raises:
        Damaged: truncated, altered or not a view at all.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            manifest: dict[str, Any] = json.loads(file.metadata()["manifest"])
            return {name: file.get_tensor(name) for name in ("shard", "row")}, manifest
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Damaged("is not a view of features") from error


def same_view(path: Path, arrays: Mapping[str, Index], manifest: Mapping[str, Any]) -> bool:
    """Whether ``path`` holds the same view already."""
    try:
        stored, record = load_view(path)
    except Damaged:
        return False
    return record == manifest and all(np.array_equal(stored[name], arrays[name]) for name in arrays)


def load(path: Path, *, verify: bool = False) -> dict[str, np.ndarray[Any, Any]]:
    """Memory-map the arrays of a shard.

    Args:
        path: local file.
        verify: read every byte and compare the hash; otherwise only header and size are checked.

    Raises:
        Damaged: truncated, altered or not a shard at all.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
            if length > size - 8:
                raise Damaged("is cut short")
            header = json.loads(file.read(length))
        digest = header.pop("__metadata__")["sha256"]
        begin = 8 + length
        if size != begin + max(entry["data_offsets"][1] for entry in header.values()):
            raise Damaged("is cut short")
        arrays = {name: _map(path, begin, entry) for name, entry in header.items()}
        if arrays["vectors"].ndim != 2:
            raise Damaged("is not a shard of features")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged("is not a shard of features") from error
    if verify and _digest(arrays) != digest:
        raise Damaged("does not hold the values that were written")
    return arrays


def _map(path: Path, begin: int, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    if 0 in shape:  # an empty range cannot be mapped
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", begin + entry["data_offsets"][0], shape)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
