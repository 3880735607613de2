"""Language tags as other people write them: BCP 47, locales of glibc, codes of data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_LOCALE = re.compile(
    r"(?P<tag>[a-z]{2,3}(?:[-_][a-z0-9]{1,8})*|i[-_][a-z]{2,8})(?:\.[a-z0-9_-]+)?(?:@(?P<modifier>[a-z0-9]+))?",
    re.IGNORECASE,
)
_SOME_COUNTRY = re.compile(r"[-_]xx(?![a-z0-9])", re.IGNORECASE)  # as mBART's codes have it
_MEMBER = 14
"""CLDR's distance of a language from the macrolanguage that it is counted to, at most."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a tag says, in the standard's own codes."""

    language: str
    """``jv`` of ``jw``, ``bo`` of ``tib``, ``yue`` of ``zh-yue``."""
    script: str | None
    """ISO 15924, where the tag names one."""
    modifier: str
    """What glibc puts behind ``@``: ``cyrillic``, ``latin``, ``euro`` …"""


@lru_cache(maxsize=1_024)
def parsed(name: str) -> Tag | None:
    """``name`` as a tag; None where it is none, or has a part that is not registered.

    >>> parsed("km_KH.UTF-8"), parsed("zh-Hant-TW")
    (Tag(language='km', script=None, modifier=''), Tag(language='zh', script='Hant', modifier=''))
    """
    found = _LOCALE.fullmatch(name.strip()) if len(name) < 100 else None
    if found is None:
        return None
    from langcodes import Language  # late: it reads large tables, and most names need it not
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = Language.get(_SOME_COUNTRY.sub("", found["tag"]).replace("_", "-"))
    except LanguageTagError:
        return None
    if not tag.language or tag.extlangs or not tag.is_valid():
        return None
    return Tag(tag.language, tag.script, (found["modifier"] or "").casefold())


@lru_cache(maxsize=1_024)
def macrolanguage(code: str, known: Sequence[str]) -> tuple[str, str | None] | None:
    """Of the ``known`` codes the one that ``code`` is counted to, and the script that it is mostly in.

    >>> macrolanguage("quy", ("ar", "qu"))
    ('qu', 'Latn')
    """
    from langcodes import Language, closest_match

    found, _ = closest_match(code, known, max_distance=_MEMBER)
    return None if found == "und" else (found, Language.get(code).maximize().script)
