"""Language tags in common forms: BCP 47, locales of glibc, codes of data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_LOCALE = re.compile(
    r"(?P<tag>[a-z]{2,3}(?:[-_][a-z0-9]{1,8})*|i[-_][a-z]{2,8})(?:\.[a-z0-9_-]+)?(?:@(?P<modifier>[a-z0-9]+))?",
    re.IGNORECASE,
)
_SOME_COUNTRY = re.compile(r"[-_]xx(?![a-z0-9])", re.IGNORECASE)  # in mBART's codes
_MAX_DISTANCE = 14
"""CLDR's largest distance between a language and its macrolanguage."""


@dataclass(frozen=True, slots=True)
class LanguageTag:
    """A parsed tag, in the standard's own codes."""

    language: str
    """``jv`` of ``jw``, ``bo`` of ``tib``, ``yue`` of ``zh-yue``."""
    script: str | None
    """ISO 15924; None where the tag names none, and its territory writes as others do."""
    modifier: str
    """After glibc's ``@``: ``cyrillic``, ``latin``, ``euro`` …"""


@lru_cache(maxsize=1_024)
def parse_tag(name: str) -> LanguageTag | None:
    """Parse ``name``; None where it is no tag, or has a part that is not registered.

    >>> parse_tag("km_KH.UTF-8"), parse_tag("zh-Hant-TW")
    (LanguageTag(language='km', script=None, modifier=''), LanguageTag(language='zh', script='Hant', ...))
    """
    match = _LOCALE.fullmatch(name.strip()) if len(name) < 100 else None
    if match is None:
        return None
    from langcodes import Language  # late: it reads large tables, and most names do not need it
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = Language.get(_SOME_COUNTRY.sub("", match["tag"]).replace("_", "-"))
    except LanguageTagError:
        return None
    if not tag.language or tag.extlangs or not tag.is_valid():
        return None
    return LanguageTag(
        tag.language, tag.script or _script_of_territory(tag), (match["modifier"] or "").casefold()
    )


def _script_of_territory(tag: Any) -> str | None:
    """The script of a territory that writes the language in another than most do: Punjabi in Pakistan."""
    from langcodes import Language

    likely = tag.maximize().script
    return likely if tag.territory and likely != Language.get(tag.language).maximize().script else None


@lru_cache(maxsize=1_024)
def macrolanguage(code: str, known: Sequence[str]) -> tuple[str, str | None] | None:
    """The macrolanguage of ``code`` among ``known`` codes, and the script that ``code`` is mostly written in.

    >>> macrolanguage("quy", ("ar", "qu"))
    ('qu', 'Latn')
    """
    from langcodes import Language, closest_match

    closest, _ = closest_match(code, known, max_distance=_MAX_DISTANCE)
    return None if closest == "und" else (closest, Language.get(code).maximize().script)
