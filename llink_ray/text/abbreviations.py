"""Whether a full stop marks an abbreviation, an initial or the number of a list item.

The table (``languages.yaml``) lists abbreviations; the library sentencex knows more, best those of English,
and decides by the next word: ``at 5 p.m. Then``, ``the U.S. President``.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import regex

from llink_ray.text.languages import DECODER_LANGUAGE, Language

_FORMAT = regex.compile(r"\p{Cf}+")
_LEAD = regex.compile(r"[\s\p{Cf}\p{Ps}\p{Pi}\p{Pf}\"'\p{Pd}•*¿¡]*")
_WORD = regex.compile(r"[^\s\p{Ps}\p{Pi}\p{Pf}\"]*$")
_WORDS = regex.compile(r"[\p{L}\p{M}\p{N}.'’&/-]+")
_NEXT_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}-]*")
_LATIN = regex.compile(r"\p{Latin}[^\p{L}]*$")
_ITEM = regex.compile(r"[\s\p{P}]*(?:\p{Nd}{1,3}|\p{L}\p{M}*|[ivxIVX]{1,5})[\s\p{P}]*")
_SHORTENED = regex.compile(r"(?:(?:\p{L}\p{M}*){1,3}\.)+(?:\p{L}\p{M}*){1,3}$")
_INITIAL = {
    "letters": regex.compile(r"(?<![\p{L}\p{M}])\p{L}$"),
    "clusters": regex.compile(r"(?<![\p{L}\p{M}])\p{L}\p{M}*$"),
    # Only beside another one: words are as short.
    "none": regex.compile(r"(?<=\p{L}\p{M}*\s?\.\s?)\p{L}\p{M}*$"),
}
_ANOTHER = regex.compile(r"\s*\p{L}\p{M}*\s?\.")
_CAPITAL = regex.compile(r"(?<!\p{L})\p{Lu}\p{Ll}?$")


def is_abbreviation(before: str, after: str, own: Language) -> bool:
    """Whether a full stop between ``before`` and ``after`` ends an abbreviation or a list item's number."""
    stripped, following = before.rstrip(), first_visible(after)
    if _ITEM.fullmatch(before) and (own.initials != "none" or not is_caseless(stripped[-1:])):
        return True
    if stripped != before and stripped[-1:].isdecimal() and following.isdecimal():
        return True  # decimals set apart
    word = _FORMAT.sub("", unicodedata.normalize("NFC", _WORD.search(stripped)[0]))
    short = word.casefold().lstrip("0123456789").split("-")[-1]
    numbered = short in own.abbreviations_of_numbers
    if not word:
        return False
    if short in own.abbreviations or (numbered and following.isdecimal()):
        return True
    if (short if word == stripped else word) in own.ordinary and not (numbered and is_small(following)):
        return False
    if _LATIN.search(word):
        # Titles before names are English in most texts.
        if short in DECODER_LANGUAGE.abbreviations:
            return True
        others = own.script == DECODER_LANGUAGE.script and _known_to_sentencex(own.code, stripped, after)
        titled = own.script != DECODER_LANGUAGE.script or not word.islower()
        return others or (titled and _known_to_sentencex(DECODER_LANGUAGE.code, stripped, after))
    if short_form := _SHORTENED.search(word):
        return following == following.lower() or short_form[0] != short_form[0].lower()
    if _INITIAL[own.initials].search(stripped if own.initials == "none" else word):
        return True
    if own.initials == "none" and _INITIAL["clusters"].search(word) and _ANOTHER.match(after):
        return True
    if _CAPITAL.search(word) and stripped != word:
        return True
    return _known_to_sentencex(own.code, stripped, after)


def first_visible(after: str) -> str:
    """The first character after blanks and opening signs."""
    position = _LEAD.match(after).end()
    return after[position : position + 1]


def is_small(letter: str) -> bool:
    """Whether no sentence starts with it; by title case, since all letters of Georgian are lower case."""
    return letter != letter.title()


def is_caseless(letter: str) -> bool:
    """Whether the letter is of a script without capitals."""
    return letter.isalpha() and letter.title() == letter.lower()


def ends_cased(before: str) -> bool:
    """Whether the last letter is of a script with capitals."""
    letter = regex.search(r"\p{L}(?=\P{L}*$)", before)
    return bool(letter) and not is_caseless(letter[0])


def _known_to_sentencex(code: str, before: str, after: str) -> bool:
    """Whether sentencex does not split at a full stop between these."""
    words, next_word = _WORDS.findall(before)[-3:], _NEXT_WORD.search(after)
    if not (words and next_word) or _one_sentence(code, "aaaaa", "Aaaaa"):
        return False  # it does not know the full stop of some languages
    return _one_sentence(code, " ".join(words), next_word[0])


@lru_cache(maxsize=4_096)
def _one_sentence(code: str, before: str, after: str) -> bool:
    from sentencex import segment  # late: most messages do not need it

    # Words around it, so that nothing is at the start or the end of the text.
    return len(segment(code, f"x {before}. {after} x")) == 1
