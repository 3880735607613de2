"""The language table is sound, and a language is found by any usual name."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import regex

from llink_ray.errors import LlinkError
from llink_ray.text.languages import ASCII_DIGITS, DECODER_LANGUAGE, TABLE, Language, find

DOCS = Path(__file__).parents[2] / "docs" / "languages.md"
ALL = pytest.mark.parametrize("language", TABLE, ids=lambda language: language.code)


@pytest.mark.parametrize(
    "name",
    [
        "tibetan", "Tibetan", "TIBETAN", " Tibetan ", "bo", "BO", "bod", "tib", "bod_Tibt", "bod-Tibt",
        "bo_tibt", "bo-Tibt", "bo-CN", "bo_Tibt_CN", "བོད་སྐད་", "བོད་སྐད", "བོད་སྐད༌", "བོད་སྐད་།",
        "\ufeffTibetan\u200b",
    ],
)  # fmt: skip
def test_tibetan_by_every_usual_name(name: str) -> None:
    assert find(name).iso639_3 == "bod"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("burmese", "my"), ("Myanmar", "my"), ("mya", "my"), ("khm_Khmr", "km"), ("cambodian", "km"),
        ("ខ្មែរ", "km"), ("Amharic", "am"), ("አማርኛ", "am"), ("ti", "ti"), ("Uighur", "ug"), ("npi_Deva", "ne"),
        ("farsi", "fa"), ("Haitian-Creole", "ht"), ("haitian creole", "ht"), ("N’Ko", "nqo"), ("mon", "mn"),
        ("yi", "yi"), ("ქართული", "ka"), ("հայերեն", "hy"), ("Հայերեն", "hy"), ("Māori", "mi"),
    ],
)  # fmt: skip
def test_other_languages_by_usual_names(name: str, code: str) -> None:
    assert find(name).code == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        # Locales of glibc, with encodings and modifiers, and mBART's country that is none.
        ("km_KH.UTF-8", "km"), ("bo_CN.utf8", "bo"), ("iw_IL.ISO-8859-8", "he"), ("ka_GE@euro", "ka"),
        ("uz_UZ.UTF-8@latin", "uz"), ("sr_RS@cyrillic", "sr"), ("km_XX", "km"), ("my_MM", "my"),
        # BCP 47: regions, variants of a script, extended languages, variants, extensions.
        ("ar-001", "ar"), ("ar_EG", "ar"), ("zh-Hant-TW", "zh"), ("zh_Hant", "zh"), ("zh-cmn-Hans-CN", "zh"),
        ("ur-Aran", "ur"), ("be-tarask", "be"), ("km-u-nu-khmr", "km"), ("KM-khmr-kh", "km"),
        # Former codes, ISO 639-2's other ones, members of a macrolanguage, and those of FLORES.
        ("jw", "jv"), ("ji", "yi"), ("bur_MM", "my"), ("bih", "bho"), ("swc", "sw"), ("arz", "ar"),
        ("quy_Latn", "qu"), ("quz", "qu"), ("prs_Arab", "fa"), ("khk_Cyrl", "mn"), ("azj_Latn", "az"),
        ("gaz_Latn", "om"), ("plt_Latn", "mg"), ("ydd_Hebr", "yi"), ("ckb_Arab", "ckb"), ("grn_Latn", "gn"),
    ],
)  # fmt: skip
def test_tags_and_locales(name: str, code: str) -> None:
    assert find(name).code == code


@pytest.mark.parametrize(
    "name", ["es-419", "yue", "zh-yue", "hne_Deva", "C.UTF-8", "is-that", "or-not", "km_K"]
)
def test_tags_of_no_row_are_unknown(name: str) -> None:
    with pytest.raises(LlinkError, match=f"unknown language '{name}'"):
        find(name)


@pytest.mark.parametrize("name", ["uz_UZ@cyrillic", "sr-Latn-RS", "azb_Arab", "azb", "pa-Arab", "pnb"])
def test_another_script_of_a_language_is_not_taken_for_it(name: str) -> None:
    with pytest.raises(LlinkError, match=r"the table has \w+ in \w{4}, so give"):
        find(name)


def test_own_name_in_decomposed_form() -> None:
    for language in TABLE:
        assert find(unicodedata.normalize("NFD", language.own_name)) is language


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("tibetian", "Tibetan (bo)"),
        ("tigrina", "Tigrinya (ti)"),
        ("Kmher", "Khmer (km)"),
        ("አማርኝ", "Amharic (am)"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(LlinkError, match=rf"unknown language '{name}': nearest names: .*") as caught:
        find(name)
    assert nearest in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "_", "xx", "qqq", "༄", "\0", "../../etc", "a" * 10_000, "🙂"])
def test_any_other_string_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(LlinkError, match="unknown language"):
        find(name)


def test_a_code_with_another_script_says_which_script_there_is() -> None:
    with pytest.raises(LlinkError, match="Tibetan in Tibt, so give 'bo'"):
        find("bod_Latn")


@pytest.mark.parametrize(
    "name", ["english", "en", "eng_Latn", "en-GB", "en_XX", "en_US.UTF-8", "en-001", "en-Latn-US"]
)
def test_the_decoders_own_language_is_not_taught(name: str) -> None:
    with pytest.raises(LlinkError, match="what the decoder answers in"):
        find(name)


def test_the_table_is_long_enough_and_has_what_the_data_needs() -> None:
    codes = {language.code for language in TABLE}
    assert len(TABLE) >= 40
    assert codes >= {"bo", "dz", "km", "lo", "my", "am", "ti", "si", "ug", "ne", "bn", "ka", "hy"}
    assert len({language.script for language in TABLE}) >= 25


def test_codes_and_names_are_unique() -> None:
    for field in ("code", "iso639_3", "name"):
        values = [getattr(language, field) for language in (DECODER_LANGUAGE, *TABLE)]
        assert len(values) == len(set(values)), field


@ALL
def test_every_name_finds_its_language(language: Language) -> None:
    code, iso, script = language.code, language.iso639_3, language.script
    forms = [code, iso, language.name, language.name.upper(), language.own_name, *language.aliases]
    for form in [*forms, f"{code}_{script}", f"{iso}-{script}"]:
        assert find(form) is language, form


@ALL
def test_rows_are_sound(language: Language) -> None:
    assert regex.fullmatch("[a-z]{2,3}", language.code)
    assert regex.fullmatch("[a-z]{3}", language.iso639_3)
    assert language.code == language.iso639_3 or len(language.code) == 2
    assert language.name.isascii()
    texts = [language.own_name, *language.aliases, *language.sentence_marks, language.digits, *language.words]
    for text in [*texts, language.distinctive_letters]:
        assert text == text.strip() and unicodedata.is_normalized("NFC", text)
    assert language.encoder_evidence and (language.encoder is None or "/" in language.encoder)
    assert language.decoder and "/" in language.decoder


@ALL
def test_script_and_direction(language: Language) -> None:
    assert regex.fullmatch("[A-Z][a-z]{3}", language.script)
    scripts = "".join(rf"\p{{Script={name}}}" for name in language.unicode_scripts)
    letter = regex.search(rf"[{scripts}]", language.own_name)
    assert letter, "own name in its own script"
    assert regex.fullmatch(rf"[{scripts}\p{{M}}\p{{P}}\p{{Lm}}\s]+", language.own_name)
    for sign in language.distinctive_letters + "".join(language.words):
        assert regex.match(rf"[{scripts}]", sign)
    is_right_to_left = unicodedata.bidirectional(letter.group()) in ("R", "AL")
    assert language.direction == ("rtl" if is_right_to_left else "ltr")
    # ISO 15924 has codes for mixtures (Jpan, Hans, Kore); Unicode knows all the others.
    if language.script not in ("Hans", "Jpan", "Kore"):
        assert regex.match(rf"\p{{Script={language.script}}}", letter.group())
        assert language.unicode_scripts == (language.script_name,)


@ALL
def test_digits_are_ten_in_order(language: Language) -> None:
    assert [unicodedata.decimal(digit) for digit in language.digits] == list(range(10))
    assert [ord(digit) - ord(language.digits[0]) for digit in language.digits] == list(range(10))
    native = rf"[\p{{Script={language.script_name}}}\p{{Script_Extensions={language.script_name}}}]"
    assert language.digits == ASCII_DIGITS or regex.match(native, language.digits[0])


@ALL
def test_sentence_marks(language: Language) -> None:
    marks = language.sentence_marks
    assert marks and len(set(marks)) == len(marks)
    assert all(len(mark) == 1 and unicodedata.category(mark) == "Po" for mark in marks)
    assert any(regex.match(r"[\p{Sentence_Terminal}།]", mark) for mark in marks)


def test_separators_of_numbers() -> None:
    for language in (DECODER_LANGUAGE, *TABLE):
        assert bool(language.decimal) == bool(language.group)
        if language.decimal:
            assert len(language.decimal) == len(language.group) == 1
            assert language.decimal != language.group
            assert not (language.decimal + language.group).isalnum()
    known = [language.code for language in TABLE if language.decimal]
    assert {one.code for one in TABLE} - set(known) == {"mnw", "lis", "sm", "hmn"}
    assert [(find(code).decimal, find(code).group, find(code).lakhs) for code in ("bo", "hi", "ka")] == [
        (".", ",", False),
        (".", ",", True),
        (",", "\u00a0", False),
    ]


def test_marks_of_the_scripts_that_the_data_needs() -> None:
    wanted = {"bo": "།", "km": "។", "my": "။", "am": "።", "ne": "।", "ug": "؟", "hy": "։", "ka": "."}
    for code, mark in wanted.items():
        assert mark in find(code).sentence_marks


def test_distinctive_letters_and_words_are_unique() -> None:
    for language in TABLE:
        siblings = [one for one in TABLE if one.script == language.script and one is not language]
        for other in siblings:
            assert not set(language.distinctive_letters) & set(other.distinctive_letters)
            assert not set(language.words) & set(other.words)
            assert not set(language.distinctive_letters) & set("".join(other.words))
        assert siblings or not (language.distinctive_letters or language.words), (
            f"{language.code} is alone in its script"
        )


def test_encoders_come_with_their_evidence() -> None:
    assert find("bo").encoder == find("km").encoder is not None
    assert ".988" in find("bo").encoder_evidence
    assert ".972" in find("km").encoder_evidence
    assert find("dz").encoder is None and "no retrieval figure" in find("dz").encoder_evidence


@ALL
def test_docs_list_the_language(language: Language) -> None:
    encoder = language.encoder.rpartition("/")[2] if language.encoder else "–"
    line = (
        f"| {language.code} | {language.iso639_3} | {language.name} | {language.own_name} "
        f"| {language.script} | {encoder} |"
    )
    assert line in DOCS.read_text(encoding="utf-8").splitlines(), f"add to docs/languages.md: {line}"


@pytest.mark.parametrize("name", ["pa_PK", "pa-PK", "uz_AF.UTF-8", "kk-CN"])
def test_a_territory_that_writes_in_another_script_is_told_so(name: str) -> None:
    with pytest.raises(LlinkError, match="so give"):
        find(name)


@pytest.mark.parametrize(("name", "code"), [("pa_IN", "pa"), ("pa-Guru-PK", "pa"), ("ha_NE", "ha")])
def test_a_territory_changes_nothing_else(name: str, code: str) -> None:
    assert find(name).code == code
