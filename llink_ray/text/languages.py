"""The language table: one row a language, found by any usual name.

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
from llink_ray.text.language_tags import Tag, macrolanguage, parsed
from llink_ray.text.normalisation import visible

ASCII_DIGITS = "0123456789"
_SHOWN = 5  # nearest names in the message of an unknown one


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
    """Unicode Script property values that it is written in, the telling one first: ``("Tibetan",)``."""
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
    telling: str = ""
    """Letters of its script that only this language of the table writes."""
    words: tuple[str, ...] = ()
    """Common words that its nearest relative in the same script does not have."""
    cld2: tuple[str, ...] = ()
    """What CLD2 calls it."""
    common: frozenset[str] = frozenset()
    """Words that nearly every sentence of it has one of; of the decoder's own language alone."""
    decimal: str = ""
    """What stands before the decimals of a number; empty where nothing is known."""
    group: str = ""
    """What parts its thousands, U+00A0 for any no-break space; empty where nothing is known."""
    lakhs: bool = False
    """Whether groups beyond the first three digits are of two: 12,34,567."""
    font_encoding: str = ""
    """CLDR's code of the script in texts that are in Zawgyi, not Unicode; empty where there are none."""
    other_scripts: tuple[str, ...] = ()
    """ISO 15924 of what is taken for its script: variants of it, and mixtures that it is part of."""
    typed_marks: tuple[str, ...] = ()
    """What else is written for a sentence mark: ``፡፡``."""
    initials: Literal["letters", "clusters", "none"] = "letters"
    """What is an initial before a full stop: a letter, a letter with its vowel signs, or neither."""
    abbreviations: frozenset[str] = frozenset()
    """Words before a full stop that ends no sentence, case folded and without joiners."""
    abbreviations_of_numbers: frozenset[str] = frozenset()
    """The same, before digits only."""
    ordinary: frozenset[str] = frozenset()
    """Words, as written, that are nothing shortened, though sentencex says so."""
    unfinished: frozenset[str] = frozenset()
    """Words before a sentence mark that ends only a clause."""
    said: tuple[str, ...] = ()
    """How words behind a quotation begin that say who spoke."""
    parts_words: bool = True
    """Whether blanks or the like part words, so that they can be told to begin so."""
    unmarked: tuple[str, ...] = ()
    """Words that end a sentence without a mark, before a blank."""

    @property
    def script_name(self) -> str:
        """Unicode's name of the script, e.g. ``Tibetan``."""
        return self.unicode_scripts[0]


def _load() -> tuple[Language, tuple[Language, ...]]:
    """The decoder's own language, and the table."""
    text = resources.files("llink_ray.text").joinpath("languages.yaml").read_text(encoding="utf-8")
    data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    encoders = {}
    for entry in data["recommended_encoders"]:
        for code in entry["languages"].split():
            encoders[code] = (entry["model"], entry["measured"].get(code, entry["evidence"]))

    numbers = {code: entry for entry in data["separators"] for code in entry["languages"].split()}
    short = {code: entry for entry in data["abbreviations"] for code in entry["languages"].split()}
    said = {code: entry for entry in data["said"] for code in entry["languages"].split()}
    clauses = {code: entry for entry in data["clauses"] for code in entry["languages"].split()}

    def language(row: dict[str, Any]) -> Language:
        script = data["scripts"][row["script"]]
        encoder, evidence = encoders.get(row["code"], (None, data["no_encoder"]))
        written = numbers.get(row["code"], {})
        cut, clause = short.get(row["code"], {}), clauses.get(row["code"], {})
        speech = said.get(row["code"], {})
        words = frozenset(word.casefold().replace("\u200d", "") for word in cut.get("words", ()))
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
            telling=row.get("telling", ""),
            words=tuple(row.get("words", ())),
            cld2=tuple(row.get("cld2", (row["code"],))),
            common=frozenset(row.get("common", "").split()),
            decimal=written.get("decimal", ""),
            group=written.get("group", ""),
            lakhs=written.get("lakhs", False),
            font_encoding=row.get("font_encoding", ""),
            other_scripts=tuple(script.get("also", ())),
            typed_marks=tuple(script.get("typed", ())),
            initials=script.get("initials", "letters"),
            abbreviations=words,
            abbreviations_of_numbers=frozenset(cut.get("numbers", ())),
            ordinary=frozenset(cut.get("ordinary", ())),
            said=tuple(speech.get("words", ())),
            parts_words=not speech.get("anywhere", False),
            unfinished=frozenset(clause.get("unfinished", ())),
            unmarked=tuple(clause.get("unmarked", ())),
        )

    return language(data["decoder_language"]), tuple(language(row) for row in data["languages"])


DECODER_LANGUAGE, TABLE = _load()
"""The language that decoders answer in (no row of the table), and every language they can be taught;
of languages that share a script, the one that a text is taken for when nothing tells comes first."""


def language_of(code: str | None) -> Language | None:
    """The language with exactly this code, the decoder's own included; None for a code of no row."""
    return _by_code().get(code) if code else None


@cache
def _by_code() -> dict[str, Language]:
    return {language.code: language for language in (DECODER_LANGUAGE, *TABLE)}


def find(name: str) -> Language:
    """The language called ``name``.

    Any usual form: English name in any case, own name, another name in common use, ISO 639 code, also one
    of a member of a macrolanguage or a former one (``quy``, ``jw``), and any tag made of these: with its
    script (``bod_Tibt``), a country or region (``km-KH``, ``ar-001``), as a locale (``km_KH.UTF-8``).

    Raises:
        LlinkError: no such language in the table; the message holds the nearest names.
    """
    key = _key(name)
    if found := _index().get(key):
        return found
    tag = parsed(visible(name))
    language, script = _of_tag(tag) if tag else (None, None)
    if language and _fits(language, script):
        return language
    if language:
        raise LlinkError(
            f"language '{name}': the table has {language.name} in {language.script}, "
            f"so give '{language.code}'"
        )
    if is_decoders(name):
        raise LlinkError(
            f"language '{name}' is what the decoder answers in: name the one that it should learn"
        )
    raise LlinkError(f"unknown language '{name}': {_nearest(key)}")


def is_decoders(name: str) -> bool:
    """Whether ``name`` is a usual form of the name of the language that the decoder answers in."""
    own, tag = DECODER_LANGUAGE, parsed(visible(name))
    if tag and tag.language == own.code:
        return _fits(own, tag.script)
    return _key(name) in map(_key, _forms(own))


def _of_tag(tag: Tag) -> tuple[Language | None, str | None]:
    """The language of a tag, and the script that the tag means."""
    script = tag.script or _scripts().get(tag.modifier)
    if found := _index().get(tag.language):
        return found, script
    counted = macrolanguage(tag.language, tuple(language.code for language in TABLE))
    if counted is None:
        return None, script
    return language_of(counted[0]), script or counted[1]


def _fits(language: Language, script: str | None) -> bool:
    """Whether a tag's script, if it names one, is the language's."""
    return script is None or script in (language.script, *language.other_scripts)


@cache
def _scripts() -> dict[str, str]:
    """Unicode's names of scripts, as glibc writes them, with their codes."""
    return {language.script_name.casefold(): language.script for language in (DECODER_LANGUAGE, *TABLE)}


def _nearest(key: str) -> str:
    # Codes are near to everything short, so names alone are offered.
    names = {form: language for form, language in _index().items() if len(form) > 3}
    for cutoff in (0.7, 0.4):
        close = difflib.get_close_matches(key, names, n=3 * _SHOWN, cutoff=cutoff)
        if close:
            languages = list(dict.fromkeys(names[form] for form in close))[:_SHOWN]
            return "nearest names: " + ", ".join(f"{found.name} ({found.code})" for found in languages)
    return f"give a name or code of one of the {len(TABLE)} languages in docs/languages.md"


@cache
def _index() -> dict[str, Language]:
    """Every form of every name, as ``_key`` writes it; a code goes before a name, a name before an alias."""
    index: dict[str, Language] = {}
    for forms in (lambda one: one.aliases, _names, _codes):
        index |= {_key(form): language for language in reversed(TABLE) for form in forms(language)}
    return index


def _codes(language: Language) -> tuple[str, ...]:
    return language.iso639_3, language.code


def _names(language: Language) -> tuple[str, ...]:
    return language.own_name, language.name


def _forms(language: Language) -> tuple[str, ...]:
    return *_codes(language), *_names(language), *language.aliases


def _key(name: str) -> str:
    """Case, Unicode form, the tsheg or mark that ends a name, and ``-`` or space for ``_`` do not count."""
    text = visible(name).replace("’", "'").casefold()
    words = "".join("_" if letter in "-_" or letter.isspace() else letter for letter in text).split("_")
    # A tsheg separates syllables, so at the end of a name it is habit; so are the marks after it.
    return "_".join(word for word in words if word).rstrip("\u0f0b\u0f0d.")
