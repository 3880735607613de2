"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def trim_memory() -> None:
    """Give freed memory back; glibc by itself keeps it, in gaps that tensors of other lengths do not fit."""
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def free_memory() -> None:
    """Collect what is not reachable any more, then :func:`trim_memory`."""
    gc.collect()
    trim_memory()
