"""Where caches lie, and which file names are junk of the system."""

from __future__ import annotations

import os
import re
from pathlib import Path

_JUNK = re.compile(
    r"\..+"  # hidden: .DS_Store, ._copies of Macs, .nfs…, .snapshot, .Trash-1000, editors' .x.swp
    r"|lost\+found|__MACOSX|@eaDir|@Recycle|#recycle|#snapshot|\$RECYCLE\.BIN|System Volume Information"
    r"|(?:eh)?thumbs(?:_vista)?\.db|desktop\.ini|Icon\r"
    r"|.*~|#.*#|.*\.sw[opx]|__pycache__",
    re.IGNORECASE | re.DOTALL,
)


def is_junk(name: str) -> bool:
    """Whether a file of this name (not a path) was left by a file system, a desktop or an editor."""
    return _JUNK.fullmatch(name) is not None


def cache_root() -> Path:
    """``$LLINK_CACHE``, or ``llink_ray`` in the user's cache directory; it need not exist yet."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LLINK_CACHE") or Path(home) / "llink_ray").expanduser()
