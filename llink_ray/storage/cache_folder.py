"""The one place on this machine for what can be fetched or made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """``$LLINK_CACHE``, or ``llink_ray`` in the user's cache directory; it need not exist yet."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LLINK_CACHE") or Path(home) / "llink_ray").expanduser()
