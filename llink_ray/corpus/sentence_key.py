"""When two texts are the same sentence: by their letters, marks and digits alone."""

from __future__ import annotations

import re
import unicodedata

from llink_ray.text.normalisation import normalise

_SPACE_BETWEEN_WORDS = re.compile(r"(?<!\d) +| +(?!\d)")
_JOINERS = dict.fromkeys((0x200C, 0x200D))
"""They join letters in some spellings of a word and are left out in others."""


class _LettersAndNumbers(dict[int, int]):
    """Code point to itself for letters, marks and numbers, to a space for all others."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else 0x20
        return self[code]


_LETTERS_AND_NUMBERS = _LettersAndNumbers()


def sentence_key(text: str) -> str:
    """The letters, marks and digits of ``text``, case folded, in NFC; empty where it has none.

    Punctuation and white space go, so that ``Go, now!`` equals ``go now`` and Khmer with spaces between words
    equals Khmer without; between digits one space stays, so that 3.5 is not 35.
    """
    return key_of_normalised(normalise(text))


def key_of_normalised(text: str) -> str:
    """``sentence_key`` of a text that is normalised already."""
    words = text.translate(_JOINERS).translate(_LETTERS_AND_NUMBERS).casefold()
    return unicodedata.normalize("NFC", _SPACE_BETWEEN_WORDS.sub("", " ".join(words.split())))
