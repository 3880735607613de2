"""Spelling rules that a reader of the language would see broken at once."""

from __future__ import annotations

import re

import pytest

from llink_ray.corpus.phrasebook import pairs
from llink_ray.corpus.phrasebook import world as world_module

BOOK = world_module.load("languages/bo.yaml")
VOWEL_SIGNS = "ིེོུ"


def bare_suffix(word: str) -> str:
    """The letter that closes the last syllable, or "" where that ends in a vowel."""
    last = word.split("་")[-1]
    if last[-1] in VOWEL_SIGNS or len(last) == 1 or "ྐ" <= last[-1] <= "ྼ":
        return ""
    return last[-1]


def case(word: str, after: dict[str, str], after_vowel: str) -> str:
    suffix = bare_suffix(word)
    endings = (f"་{end}" for letters, end in after.items() if suffix and suffix in letters)
    return word + next(endings, after_vowel)


def ergative(word: str) -> str:
    return case(word, {"དབས": "ཀྱིས", "གང": "གིས", "ནམརལ": "གྱིས"}, "ས")


def genitive(word: str) -> str:
    return case(word, {"དབས": "ཀྱི", "གང": "གི", "ནམརལ": "གྱི"}, "འི")


@pytest.mark.parametrize("category", ["person", "names"])
def test_tibetan_ergatives_keep_the_sandhi(category: str) -> None:
    for concept, word in BOOK[category].items():
        assert word["erg"] == ergative(word["form"]), concept


def test_tibetan_genitives_keep_the_sandhi() -> None:
    for concept, word in BOOK["adjective"].items():
        assert word["gen"] == genitive(word["form"]), concept
    for concept, word in BOOK["place"].items():
        assert re.fullmatch(genitive(word["form"]) + "་(ནང|འགྲམ)་དུ", word["in"]), concept
        assert re.fullmatch(genitive(word["form"]) + "་(ནང་གི|འགྲམ་གྱི)", word["of"]), concept
        assert word["to"] == word["form"] + "་ལ", concept


def test_tibetan_past_endings_keep_the_sandhi() -> None:
    """པ after a closing ག ད ན བ མ ས, བ after ང འ ར ལ and after a vowel."""
    for category in ("act", "give", "go"):
        for concept, word in BOOK[category].items():
            stem, ending = word["form"].rsplit("་", 1)
            suffix = bare_suffix(stem)
            assert ending == ("པ" if suffix and suffix in "གདནབམས" else "བ"), concept
            assert word["done"].endswith(word["form"] + "་རེད"), concept


def test_tibetan_syllables_are_parted_by_one_tsheg() -> None:
    for pair in pairs("bo", 2000, seed=2):
        body = pair.foreign.removesuffix("།")
        assert body != pair.foreign and "།" not in body
        assert not re.search("་་|་ | ་|་$|^་|[༠-༩]་", body), pair.foreign
        # No syllable is longer than prefix, stack, vowel, two suffixes and a case vowel.
        assert max(map(len, re.split("[་ ]", body))) <= 7, pair.foreign


def test_khmer_has_spaces_only_at_digits_and_after_a_leading_phrase() -> None:
    leading = [place["in"] for place in world_module.load("languages/km.yaml")["place"].values()]
    leading += [when["at"] for when in world_module.load("languages/km.yaml")["when"].values()]
    for pair in pairs("km", 2000, seed=2):
        text = re.sub("^(" + "|".join(sorted(leading, key=len, reverse=True)) + ") ", "", pair.foreign)
        assert " " not in re.sub(r" (\d+)( |(?=។))", r"\1", text), pair.foreign
        assert "\u200b" not in text and text.count("។") == 1
