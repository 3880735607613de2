"""The language table, and the search by any usual name.

The data stands in ``languages.yaml``; no other module names a language, a code or a script.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

from llink_ray.errors import LlinkError
from llink_ray.text.language_tags import LanguageTag, macrolanguage, parse_tag
from llink_ray.text.normalisation import visible

ASCII_DIGITS = "0123456789"
_MAX_SUGGESTIONS = 5


@dataclass(frozen=True, slots=True)
class Language:
    """One language that a decoder can be taught."""

    code: str
    """ISO 639-1 where there is one, else ISO 639-3."""
    iso639_3: str
    """Three letters."""
    name: str
    """In English."""
    own_name: str
    """In the language itself, NFC."""
    script: str
    """ISO 15924, e.g. ``Tibt``."""
    unicode_scripts: tuple[str, ...]
    """Unicode Script property values that it is written in, the main one first: ``("Tibetan",)``."""
    direction: Literal["ltr", "rtl"]
    """Of the writing."""
    sentence_marks: tuple[str, ...]
    """Single letters that end a sentence, the commonest first; between digits they end nothing."""
    digits: str
    """Ten letters, zero first: its script's own, or ASCII where that is what is written."""
    encoder: str | None
    """Recommended sentence encoder (hub id); None where nothing is known to read the language."""
    encoder_evidence: str
    """Why that one, or why none."""
    decoder: str | None
    """Recommended decoder (hub id)."""
    aliases: tuple[str, ...] = ()
    """Other names and codes."""
    members_elsewhere: tuple[tuple[str, str], ...] = ()
    """Codes of members of this macrolanguage in another script, each with it, that CLDR does not know."""
    distinctive_letters: str = ""
    """Letters of its script that no other language of the table uses."""
    words: tuple[str, ...] = ()
    """Common words that the closest language in the same script lacks."""
    cld2: tuple[str, ...] = ()
    """CLD2's codes of it."""
    common: frozenset[str] = frozenset()
    """Words of which nearly every sentence has one; for the decoder's own language alone."""
    decimal: str = ""
    """Decimal separator; empty where it is not known."""
    group: str = ""
    """Thousands separator, U+00A0 for any no-break space; empty where it is not known."""
    lakhs: bool = False
    """Whether digits are grouped as in 12,34,567."""
    font_encoding: str = ""
    """CLDR's script code of texts in Zawgyi instead of Unicode; empty where there are none."""
    other_scripts: tuple[str, ...] = ()
    """ISO 15924 codes that count as its script: variants, and mixtures that contain it."""
    typed_marks: tuple[str, ...] = ()
    """Substitutes that people type for a sentence mark: ``፡፡``."""
    initials: Literal["letters", "clusters", "none"] = "letters"
    """Form of an initial before a full stop: a letter, a letter with its vowel signs, or neither."""
    abbreviations: frozenset[str] = frozenset()
    """Words whose full stop ends no sentence, case folded and without joiners."""
    abbreviations_of_numbers: frozenset[str] = frozenset()
    """The same, before digits only."""
    ordinary: frozenset[str] = frozenset()
    """Words, as written, that sentencex wrongly takes for abbreviations."""
    clause_words: frozenset[str] = frozenset()
    """Words whose sentence mark ends only a clause."""
    speech_words: tuple[str, ...] = ()
    """Beginnings of the words after a quotation that name its speaker."""
    separates_words: bool = True
    """Whether words are separated by blanks or the like."""
    sentence_words: tuple[str, ...] = ()
    """Words before a blank that end a sentence without a mark."""

    @property
    def script_name(self) -> str:
        """Unicode's name of the script, e.g. ``Tibetan``."""
        return self.unicode_scripts[0]


def _load() -> tuple[Language, tuple[Language, ...]]:
    """The decoder's language, and the table."""
    text = resources.files("llink_ray.text").joinpath("languages.yaml").read_text(encoding="utf-8")
    data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    encoders = {}
    for entry in data["recommended_encoders"]:
        for code in entry["languages"].split():
            encoders[code] = (entry["model"], entry["measured"].get(code, entry["evidence"]))

    def by_code(group: str) -> dict[str, dict[str, Any]]:
        return {code: entry for entry in data[group] for code in entry["languages"].split()}

    separators, abbreviations = by_code("separators"), by_code("abbreviations")
    speech_words, clauses = by_code("said"), by_code("clauses")

    def language(row: dict[str, Any]) -> Language:
        script = data["scripts"][row["script"]]
        encoder, evidence = encoders.get(row["code"], (None, data["no_encoder"]))
        separator, short = separators.get(row["code"], {}), abbreviations.get(row["code"], {})
        speech, clause = speech_words.get(row["code"], {}), clauses.get(row["code"], {})
        short_words = (word.casefold().replace("\u200d", "") for word in short.get("words", ()))
        return Language(
            code=row["code"],
            iso639_3=row["iso3"],
            name=row["name"],
            own_name=row["own"],
            script=row["script"],
            unicode_scripts=tuple(script["unicode"]),
            direction=script["direction"],
            sentence_marks=tuple(script["marks"]),
            digits=row.get("digits", script.get("digits", ASCII_DIGITS)),
            encoder=encoder,
            encoder_evidence=evidence,
            decoder=data["recommended_decoder"],
            aliases=tuple(row.get("aliases", ())),
            members_elsewhere=tuple(row.get("elsewhere", {}).items()),
            distinctive_letters=row.get("distinctive_letters", ""),
            words=tuple(row.get("words", ())),
            cld2=tuple(row.get("cld2", (row["code"],))),
            common=frozenset(row.get("common", "").split()),
            decimal=separator.get("decimal", ""),
            group=separator.get("group", ""),
            lakhs=separator.get("lakhs", False),
            font_encoding=row.get("font_encoding", ""),
            other_scripts=tuple(script.get("also", ())),
            typed_marks=tuple(script.get("typed", ())),
            initials=script.get("initials", "letters"),
            abbreviations=frozenset(short_words),
            abbreviations_of_numbers=frozenset(short.get("numbers", ())),
            ordinary=frozenset(short.get("ordinary", ())),
            speech_words=tuple(speech.get("words", ())),
            separates_words=not speech.get("anywhere", False),
            clause_words=frozenset(clause.get("unfinished", ())),
            sentence_words=tuple(clause.get("unmarked", ())),
        )

    return language(data["decoder_language"]), tuple(language(row) for row in data["languages"])


DECODER_LANGUAGE, TABLE = _load()
"""The language that decoders answer in (no row of the table), and every language that can be trained; of
languages that share a script, the one assumed without evidence comes first."""


def language_of(code: str | None) -> Language | None:
    """The language with exactly this code, the decoder's own included; None for a code of no row."""
    return _by_code().get(code) if code else None


@cache
def _by_code() -> dict[str, Language]:
    return {language.code: language for language in (DECODER_LANGUAGE, *TABLE)}


def find(name: str) -> Language:
    """Find the language called ``name``.

    Any usual form: English name in any case, own name, another name in common use, ISO 639 code, also one
    of a member of a macrolanguage or a former one (``quy``, ``jw``), and any tag made of these: with its
    script (``bod_Tibt``), a country or region (``km-KH``, ``ar-001``), as a locale (``km_KH.UTF-8``).

    Raises:
        LlinkError: no such language in the table; the message holds the nearest names.
    """
    key = _key(name)
    if named := _index().get(key):
        return named
    tag = parse_tag(visible(name))
    language, script = _of_tag(tag) if tag else (None, None)
    if language and _fits(language, script):
        return language
    if language:
        raise LlinkError(
            f"language '{name}': the table has {language.name} in {language.script}, "
            f"so give '{language.code}'"
        )
    if is_decoder_language(name):
        raise LlinkError(
            f"language '{name}' is what the decoder answers in: name the one that it should learn"
        )
    raise LlinkError(f"unknown language '{name}': {_nearest(key)}")


def is_decoder_language(name: str) -> bool:
    """Whether ``name`` is a usual form of the name of the language that the decoder answers in."""
    own, tag = DECODER_LANGUAGE, parse_tag(visible(name))
    if tag and tag.language == own.code:
        return _fits(own, tag.script)
    return _key(name) in map(_key, _forms(own))


def _of_tag(tag: LanguageTag) -> tuple[Language | None, str | None]:
    """The language of a tag, and its script."""
    script = tag.script or _scripts().get(tag.modifier)
    if language := _index().get(tag.language):
        return language, script
    for language in TABLE:
        if own := dict(language.members_elsewhere).get(tag.language):
            return language, script or own
    macro = macrolanguage(tag.language, tuple(language.code for language in TABLE))
    if macro is None:
        return None, script
    return language_of(macro[0]), script or macro[1]


def _fits(language: Language, script: str | None) -> bool:
    """Whether a tag's script is the language's; None fits any."""
    return script is None or script in (language.script, *language.other_scripts)


@cache
def _scripts() -> dict[str, str]:
    """Codes of scripts by Unicode's name in glibc's spelling."""
    return {language.script_name.casefold(): language.script for language in (DECODER_LANGUAGE, *TABLE)}


def _nearest(key: str) -> str:
    # Any short text is close to some code, so only names are suggested.
    names = {form: language for form, language in _index().items() if len(form) > 3}
    for cutoff in (0.7, 0.4):
        close = difflib.get_close_matches(key, names, n=3 * _MAX_SUGGESTIONS, cutoff=cutoff)
        if close:
            languages = list(dict.fromkeys(names[form] for form in close))[:_MAX_SUGGESTIONS]
            return "nearest names: " + ", ".join(
                f"{language.name} ({language.code})" for language in languages
            )
    return f"give a name or code of one of the {len(TABLE)} languages in docs/languages.md"


@cache
def _index() -> dict[str, Language]:
    """Languages by :func:`_key` of each name; a code precedes a name, a name precedes an alias."""
    index: dict[str, Language] = {}
    for forms in (lambda language: language.aliases, _names, _codes):
        index |= {_key(form): language for language in reversed(TABLE) for form in forms(language)}
    return index


def _codes(language: Language) -> tuple[str, ...]:
    return language.iso639_3, language.code


def _names(language: Language) -> tuple[str, ...]:
    return language.own_name, language.name


def _forms(language: Language) -> tuple[str, ...]:
    return *_codes(language), *_names(language), *language.aliases


def _key(name: str) -> str:
    """``name`` without case, Unicode form and a final tsheg or mark; ``-`` and space become ``_``."""
    text = visible(name).replace("’", "'").casefold()
    words = "".join("_" if letter in "-_" or letter.isspace() else letter for letter in text).split("_")
    # A tsheg separates syllables; at the end of a name it is a habit, as are marks after it.
    return "_".join(word for word in words if word).rstrip("\u0f0b\u0f0d.")
