"""Text that may go on: anything but what is no text in any encoding."""

from __future__ import annotations

import re

from serve.errors import ApiError

_HALVES = re.compile("[\ud800-\udfff]")


def check_text(text: str, where: str) -> str:
    """The text itself, if it can be written as UTF-8.

    Letters that nobody sees (controls, direction marks, joiners out of place) are no fault: people paste them
    without knowing, and :mod:`llink_ray.text.normalisation` takes them out. Half of a surrogate pair is one,
    since the letter that it belongs to is lost.

    Raises:
        ApiError: 400, with the code point and where it stands.
    """
    if found := _HALVES.search(text):
        raise ApiError.bad_request(
            f"{where} has U+{ord(found.group()):04X} at character {found.start()}, half of a surrogate pair: "
            "take it out",
            param=where,
            code="invalid_text",
        )
    return text
