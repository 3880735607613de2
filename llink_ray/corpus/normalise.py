"""Two normal forms of a text: ``tidy`` for what is kept, ``sentence_key`` for "is it the same sentence?"."""

from __future__ import annotations

import re
import unicodedata

from llink_ray.text.normalisation import normalise

_APART = re.compile(r"(?<!\d) +| +(?!\d)")


class _Words(dict[int, int]):
    """Code point -> itself for letters, marks and numbers, a space for all else."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else 0x20
        return self[code]


_WORDS = _Words()
# The joiners hold letters together in some spellings of a word and are left out in others.
_WORDS_AND_JOINERS = dict.fromkeys((0x200C, 0x200D))


def tidy(text: str) -> str:
    """``text`` as training text is written now: see :mod:`llink_ray.text.normalisation`."""
    return normalise(text)


def sentence_key(text: str) -> str:
    """What two writings of one sentence share: its letters, marks and digits, case folded, in NFC.

    Punctuation and white space go, so that ``Go, now!`` is ``go now`` and Khmer with spaces
    between words is Khmer without; between digits one space stays, so that 3.5 is not 35.
    Empty where the text has neither letter nor digit.
    """
    return tidy_key(tidy(text))


def tidy_key(text: str) -> str:
    """``sentence_key`` of a text that is tidy already."""
    words = text.translate(_WORDS_AND_JOINERS).translate(_WORDS).casefold()
    return unicodedata.normalize("NFC", _APART.sub("", " ".join(words.split())))
