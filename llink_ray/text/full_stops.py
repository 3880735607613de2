"""Whether a full stop ends a sentence or stands for left-out letters: shortened words, initials, list items.

The table names a language's shortened words (``languages.yaml``); the library sentencex knows more, those of
English best, and tells by the next word: ``at 5 p.m. Then``, ``the U.S. President``.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import regex

from llink_ray.text.languages import DECODER_LANGUAGE, Language

_UNSEEN = regex.compile(r"\p{Cf}+")
_LEAD = regex.compile(r"[\s\p{Cf}\p{Ps}\p{Pi}\p{Pf}\"'\p{Pd}•*¿¡]*")
_WORD = regex.compile(r"[^\s\p{Ps}\p{Pi}\p{Pf}\"]*$")
_WORDS = regex.compile(r"[\p{L}\p{M}\p{N}.'’&/-]+")
_INKS = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}-]*")
_LATIN = regex.compile(r"\p{Latin}[^\p{L}]*$")
_ITEM = regex.compile(r"[\s\p{P}]*(?:\p{Nd}{1,3}|\p{L}\p{M}*|[ivxIVX]{1,5})[\s\p{P}]*")
_SHORTENED = regex.compile(r"(?:(?:\p{L}\p{M}*){1,3}\.)+(?:\p{L}\p{M}*){1,3}$")
_INITIAL = {
    "letters": regex.compile(r"(?<![\p{L}\p{M}])\p{L}$"),
    "clusters": regex.compile(r"(?<![\p{L}\p{M}])\p{L}\p{M}*$"),
    # Beside another one only: words are as short.
    "none": regex.compile(r"(?<=\p{L}\p{M}*\s?\.\s?)\p{L}\p{M}*$"),
}
_ANOTHER = regex.compile(r"\s*\p{L}\p{M}*\s?\.")
_CAPITAL = regex.compile(r"(?<!\p{L})\p{Lu}\p{Ll}?$")


def stands_for_letters(before: str, after: str, own: Language) -> bool:
    """Whether a full stop stands for left-out letters, or behind the number of a list's item."""
    shown, following = before.rstrip(), first_sign(after)
    if _ITEM.fullmatch(before) and (own.initials != "none" or not caseless(shown[-1:])):
        return True
    if shown != before and shown[-1:].isdecimal() and following.isdecimal():
        return True  # decimals set apart
    word = _UNSEEN.sub("", unicodedata.normalize("NFC", _WORD.search(shown)[0]))
    short = word.casefold().lstrip("0123456789").split("-")[-1]
    numbered = short in own.abbreviations_of_numbers
    if not word:
        return False
    if short in own.abbreviations or (numbered and following.isdecimal()):
        return True
    if (short if word == shown else word) in own.ordinary and not (numbered and small(following)):
        return False
    if _LATIN.search(word):
        # Titles before names are English in most texts.
        if short in DECODER_LANGUAGE.abbreviations:
            return True
        others = own.script == DECODER_LANGUAGE.script and _known(own.code, shown, after)
        titled = own.script != DECODER_LANGUAGE.script or not word.islower()
        return others or (titled and _known(DECODER_LANGUAGE.code, shown, after))
    if found := _SHORTENED.search(word):
        return following == following.lower() or found[0] != found[0].lower()
    if _INITIAL[own.initials].search(shown if own.initials == "none" else word):
        return True
    if own.initials == "none" and _INITIAL["clusters"].search(word) and _ANOTHER.match(after):
        return True
    if _CAPITAL.search(word) and shown != word:
        return True
    return _known(own.code, shown, after)


def first_sign(after: str) -> str:
    """The first letter, digit or other sign behind blanks and what opens a sentence."""
    place = _LEAD.match(after).end()
    return after[place : place + 1]


def small(letter: str) -> bool:
    """Whether no sentence starts with it: by title case, since all letters of Georgian are small."""
    return letter != letter.title()


def caseless(letter: str) -> bool:
    """Whether the letter is of a script without capitals."""
    return letter.isalpha() and letter.title() == letter.lower()


def cased(before: str) -> bool:
    """Whether the last letter is of a script with capitals."""
    found = regex.search(r"\p{L}(?=\P{L}*$)", before)
    return bool(found) and not caseless(found[0])


def _known(code: str, before: str, after: str) -> bool:
    """Whether sentencex takes a full stop between these for one that ends nothing."""
    words, behind = _WORDS.findall(before)[-3:], _INKS.search(after)
    if not (words and behind) or _one_sentence(code, "aaaaa", "Aaaaa"):
        return False  # of some languages it does not know full stops at all
    return _one_sentence(code, " ".join(words), behind[0])


@lru_cache(maxsize=4_096)
def _one_sentence(code: str, before: str, after: str) -> bool:
    from sentencex import segment  # late: most messages need it not

    # Words around it, so that nothing is taken for the start or the end of a text.
    return len(segment(code, f"x {before}. {after} x")) == 1
