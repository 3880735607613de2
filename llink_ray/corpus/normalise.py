"""Two normal forms of a text: ``tidy`` for what is kept, ``sentence_key`` for "is it the same sentence?"."""

from __future__ import annotations

import re
import unicodedata

# Invisible, and no word changes when they go: zero-width space, directional marks and embeddings,
# word joiner, soft hyphen, byte order mark. ZWNJ and ZWJ (U+200C, U+200D) are not here: they spell
# letters in Sinhala, Bengali, Persian and others. Nor is U+180E, which Mongolian spells with.
_INVISIBLE = [0x00AD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
_APART = re.compile(r"(?<!\d) +| +(?!\d)")


class _Tidy(dict[int, int | None]):
    """Code point -> itself, or None where it goes; filled as letters are met."""

    def __missing__(self, code: int) -> int | None:
        letter = chr(code)
        # Lone surrogates (Cs) come out of JSON escapes and can be written in no encoding.
        goes = unicodedata.category(letter) in ("Cc", "Cs") and not letter.isspace()
        self[code] = None if goes else code
        return self[code]


class _Words(dict[int, int]):
    """Code point -> itself for letters, marks and numbers, a space for all else."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else 0x20
        return self[code]


_TIDY = _Tidy(dict.fromkeys(_INVISIBLE))
_WORDS = _Words()
# The joiners hold letters together in some spellings of a word and are left out in others.
_WORDS_AND_JOINERS = dict.fromkeys((0x200C, 0x200D))


def tidy(text: str) -> str:
    """``text`` in NFC, without control characters and invisible marks, white space collapsed."""
    return unicodedata.normalize("NFC", " ".join(text.translate(_TIDY).split()))


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
