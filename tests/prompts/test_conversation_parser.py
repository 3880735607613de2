"""Conversations laid out as training lays out its prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.models.decoder import load_tokenizer
from llink_ray.prompts import SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.conversation import Conversation, ConversationParser, LanguageNotServed
from llink_ray.prompts.message import TEXT_PLACEHOLDER, split_message
from llink_ray.settings import DecoderSettings, SlotSettings
from llink_ray.text.languages import find
from llink_ray.text.normalisation import FIRST_VERSION

SLOTS = SlotSettings(max_sentences=3)
BO, KM = "ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།", "កសិករលក់ផ្លែប៉ោម៣០។"


def parse(
    messages: list[tuple[str, str]],
    bundles: dict[str, SlotSettings],
    instruction: str | None = None,
    **options: Any,
) -> Conversation:
    return ConversationParser(bundles, **options).parse(messages, instruction)


def ids_of(prompt: PromptBuilder, found: Conversation) -> list[int]:
    return prompt.build(found.messages, [sentence.slot_count for sentence in found.sentences]).ids


@pytest.fixture(scope="module")
def prompt() -> PromptBuilder:
    return PromptBuilder(load_tokenizer(DecoderSettings(model="embedded")))


@pytest.mark.parametrize("code", phrasebook.languages())
@pytest.mark.parametrize(
    "written", ["{asked}\n{text}", "{asked} {text}", "{text} {asked}", "{text}\n{asked}"]
)
def test_one_message_is_what_training_writes(prompt: PromptBuilder, code: str, written: str) -> None:
    for pair in phrasebook.pairs(code, 20, 0, "bundle"):
        asked = pair.questions[0].instruction
        found = parse([("user", written.format(asked=asked, text=pair.foreign))], {code: SLOTS})
        language = find(code)
        trained = prompt.slot_prompt(asked, split_message(pair.foreign, language, 3), SLOTS, language)
        assert ids_of(prompt, found) == trained
        assert [s.text for s in found.sentences] == [pair.foreign] and found.adapter == code


def test_text_alone_gets_an_instruction_where_there_is_one() -> None:
    found = parse([("user", BO)], {"bo": SLOTS}, instruction="Translate this.")
    assert found.messages == (("user", f"Translate this.\n{TEXT_PLACEHOLDER} (560)"),)
    assert found.instruction_added
    assert parse([("user", BO)], {"bo": SLOTS}).messages == (("user", f"{TEXT_PLACEHOLDER} (560)"),)
    asked = parse([("user", f"Who? {BO}")], {"bo": SLOTS}, instruction="Translate this.")
    assert not asked.instruction_added


def test_several_turns_and_languages(prompt: PromptBuilder) -> None:
    said = [("user", f"Who?\n{BO}"), ("assistant", "the cook"), ("user", f"Compare: {KM}{KM} with {BO}")]
    found = parse(said, {"bo": SLOTS, "km": SLOTS})
    assert [s.language for s in found.sentences] == ["bo", "km", "km", "bo"]
    assert found.adapter == "km"  # the most sentences of the last message that has any
    assert found.messages[1] == said[1]
    assert found.messages[2] == (
        "user",
        "Compare:\n@ (30) @ (30) with @ (560)".replace("@", TEXT_PLACEHOLDER),
    )
    ids = prompt.build(found.messages, [8, 3, 3, 8]).ids
    assert ids.count(SLOT_ID) == 30
    assert prompt.build(found.raw_messages) == prompt.build([*said[:2], found.raw_messages[2]])
    for span in found.spans:
        assert said[span.message][1][span.start : span.end].strip()
    covered = [said[s.message][1][s.start : s.end] for s in found.spans if s.message == 2]
    assert "".join(covered) == said[2][1]


def test_sentences_one_after_another_are_as_in_training(prompt: PromptBuilder) -> None:
    for said, asked in (
        (f"Sentence 2: Who?\n{BO}{BO}", "Sentence 2: Who?"),
        (f"Sentence 1: Who? {BO} {BO}{BO}", "Sentence 1: Who?"),
        (f"Sentence 2: Who?\n{BO} The cook sold 3 apples. {BO}", "Sentence 2: Who?"),
        (f"Sentence 3: Who?\n{BO} The cook sold 3 apples. A girl left.", "Sentence 3: Who?"),
    ):
        found = parse([("user", said)], {"bo": SLOTS})
        text = said.removeprefix(asked).strip()
        trained = prompt.slot_prompt(asked, split_message(text, find("bo"), 3), SLOTS, find("bo"))
        assert ids_of(prompt, found) == trained


def test_foreign_words_within_english_stay_where_they_are() -> None:
    found = parse([("user", f"What does {BO} mean?")], {"bo": SLOTS})
    assert found.messages[0][1] == f"What does\n{TEXT_PLACEHOLDER} (560) mean?"


def test_english_stays_text_and_goes_to_the_base() -> None:
    found = parse([("user", "Who sold 30 apples?")], {"bo": SLOTS})
    assert found.messages == found.raw_messages == (("user", "Who sold 30 apples?"),)
    assert found.adapter is None and not found.sentences


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("Wo steht das Haus mit den drei Katzen?", r"German \(de\)"),
        ("Où est la maison de ton frère ?", r"French \(fr\)"),
        ("Je mange une pomme.", r"French \(fr\)"),
        ("Hôm nay trời đẹp và tôi đi chợ.", r"Vietnamese \(vi\)"),
        ("𐎀𐎁𐎂", "in a script of no language that is known here"),
    ],
)
def test_a_language_that_nobody_can_teach_here(text: str, called: str) -> None:
    with pytest.raises(LanguageNotServed, match=rf"{called}.*taught: Tibetan \(bo\). Write English") as told:
        parse([("user", "Hi"), ("user", text)], {"bo": SLOTS})
    assert told.value.index == 1
    assert parse([("user", text)], {"bo": SLOTS}, unknown="text").sentences == ()
    assert len(parse([("user", text)], {"bo": SLOTS}, forced_language="bo").sentences) == (text[0] != "𐎀")


def test_letters_of_formulas_and_names_are_not_another_language() -> None:
    for text in (
        "What is π times 2?",
        "What is El Niño?",
        "Who was Nguyễn Ái Quốc?",
        "Say 'guten Tag' to me.",
    ):
        assert parse([("user", text)], {"bo": SLOTS}).raw_messages == (("user", text),)


def test_a_language_that_nobody_taught() -> None:
    with pytest.raises(LanguageNotServed, match=r"Khmer \(km\).*taught: Tibetan \(bo\).*--lang=km"):
        parse([("user", KM)], {"bo": SLOTS})
    found = parse([("user", f"Who? {KM}")], {"bo": SLOTS}, unknown="text")
    assert found.messages == (("user", f"Who? {KM}"),) and found.spans[1].language == "km"
    assert not found.spans[1].sentences


def test_a_forced_language_reads_everything_foreign() -> None:
    found = parse([("user", f"Who? {KM}")], {"bo": SLOTS}, forced_language="bo")
    assert [s.language for s in found.sentences] == ["bo"]


def test_more_sentences_than_the_bundle_reads() -> None:
    with pytest.raises(LlinkError, match="4 Tibetan sentences, and its bundle reads 3"):
        parse([("user", BO * 4)], {"bo": SLOTS})
    one = parse([("user", BO * 4)], {"bo": SlotSettings(max_sentences=1)})
    assert len(one.sentences) == 1  # not trained on sentences: one text


def test_a_bundle_without_slots_leaves_the_text_and_brings_its_adapter() -> None:
    found = parse([("user", f"Who? {BO}")], {"bo": SlotSettings(variant="none", numerals=False)})
    assert found.sentences == () and found.adapter == "bo" and BO in found.messages[0][1]


def test_spans_say_which_sentences_slots_stand_for() -> None:
    bundles = {"bo": SlotSettings(variant="none"), "km": SLOTS}
    found = parse([("user", f"Who?\n{BO} {KM}")], bundles)
    assert [(span.language, span.slot_groups, span.numerals) for span in found.spans[1:]] == [
        ("bo", 0, []),
        ("km", 1, ["30"]),
    ]
    assert [sentence.language for sentence in found.sentences] == ["km"]
    assert found.messages[0][1].count(TEXT_PLACEHOLDER) == 1 and BO in found.messages[0][1]


def test_a_place_mark_in_a_persons_text_is_no_place(prompt: PromptBuilder) -> None:
    found = parse([("user", f"Who?{TEXT_PLACEHOLDER} {BO}"), ("assistant", TEXT_PLACEHOLDER)], {"bo": SLOTS})
    assert sum(content.count(TEXT_PLACEHOLDER) for _, content in found.messages) == len(found.sentences) == 1
    prompt.build(found.messages, [8])


UNSEEN = {
    "byte order mark": lambda t: f"\ufeff{t}",
    "direction marks": lambda t: f"\u202a\u200e{t}\u061c",
    "no-break blanks and a line break of slides": lambda t: t.replace(" ", "\u00a0").replace("\n", "\x0b"),
    "invisible letters within": lambda t: "\u2063".join(t),
    "joiners out of place": lambda t: t.replace("་", "\u200d་\u200c").replace("o", "o\u200d"),
}


@pytest.mark.parametrize("change", UNSEEN.values(), ids=UNSEEN)
def test_what_nobody_sees_changes_no_prompt_and_no_place(change: Callable[[str], str]) -> None:
    said = f"How many?\n{BO}"
    plain, found = (
        parse([("system", "Be brief."), ("user", text)], {"bo": SLOTS}) for text in (said, change(said))
    )
    assert (found.messages, found.raw_messages) == (plain.messages, plain.raw_messages)
    assert found.sentences == plain.sentences
    _, english, foreign = found.spans
    assert english.start == 0 and english.end == foreign.start and foreign.end == len(change(said))
    assert (foreign.language, foreign.numerals) == ("bo", ["560"])
    assert foreign.confidence == plain.spans[-1].confidence


def test_sentences_are_written_as_their_bundle_learnt_them() -> None:
    text = "საღამოს 12\u00a0345 კაცი იყო."
    older = parse([("user", text)], {"ka": SLOTS}, normalisation={"ka": FIRST_VERSION})
    newer = parse([("user", text)], {"ka": SLOTS})
    assert [s.text for s in older.sentences] == ["საღამოს 12 345 კაცი იყო."]
    assert [s.text for s in newer.sentences] == [text] and newer.spans[0].numerals == ["12345"]


def test_nothing_visible_is_nothing_said() -> None:
    found = parse([("user", "\u200b\ufeff")], {"bo": SLOTS})
    assert found.messages == (("user", ""),) and not found.spans
