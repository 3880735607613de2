"""Names that file systems, desktops and editors leave in any folder, and that are nobody's data."""

from __future__ import annotations

import re

_LEFTOVER = re.compile(
    r"\..+"  # hidden: .DS_Store, ._copies of Macs, .nfs…, .snapshot, .Trash-1000, editors' .x.swp
    r"|lost\+found|__MACOSX|@eaDir|@Recycle|#recycle|#snapshot|\$RECYCLE\.BIN|System Volume Information"
    r"|(?:eh)?thumbs(?:_vista)?\.db|desktop\.ini|Icon\r"
    r"|.*~|#.*#|.*\.sw[opx]|__pycache__",
    re.IGNORECASE | re.DOTALL,
)


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name (not a path) is such a thing."""
    return _LEFTOVER.fullmatch(name) is not None
