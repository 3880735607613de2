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


def ids_of(prompt: PromptBuilder, parsed: Conversation) -> list[int]:
    return prompt.build(parsed.messages, [sentence.slot_count for sentence in parsed.sentences]).ids


@pytest.fixture(scope="module")
def prompt() -> PromptBuilder:
    return PromptBuilder(load_tokenizer(DecoderSettings(model="embedded")))


@pytest.mark.parametrize("code", phrasebook.languages())
@pytest.mark.parametrize(
    "written",
    ["{instruction}\n{text}", "{instruction} {text}", "{text} {instruction}", "{text}\n{instruction}"],
)
def test_one_message_is_what_training_writes(prompt: PromptBuilder, code: str, written: str) -> None:
    for pair in phrasebook.pairs(code, 20, 0, "bundle"):
        instruction = pair.questions[0].instruction
        parsed = parse([("user", written.format(instruction=instruction, text=pair.foreign))], {code: SLOTS})
        language = find(code)
        trained = prompt.slot_prompt(instruction, split_message(pair.foreign, language, 3), SLOTS, language)
        assert ids_of(prompt, parsed) == trained
        assert [s.text for s in parsed.sentences] == [pair.foreign] and parsed.adapter == code


def test_text_alone_gets_an_instruction_where_there_is_one() -> None:
    parsed = parse([("user", BO)], {"bo": SLOTS}, instruction="Translate this.")
    assert parsed.messages == (("user", f"Translate this.\n{TEXT_PLACEHOLDER} (560)"),)
    assert parsed.instruction_added
    assert parse([("user", BO)], {"bo": SLOTS}).messages == (("user", f"{TEXT_PLACEHOLDER} (560)"),)
    parsed = parse([("user", f"Who? {BO}")], {"bo": SLOTS}, instruction="Translate this.")
    assert not parsed.instruction_added


def test_several_turns_and_languages(prompt: PromptBuilder) -> None:
    messages = [("user", f"Who?\n{BO}"), ("assistant", "the cook"), ("user", f"Compare: {KM}{KM} with {BO}")]
    parsed = parse(messages, {"bo": SLOTS, "km": SLOTS})
    assert [s.language for s in parsed.sentences] == ["bo", "km", "km", "bo"]
    assert parsed.adapter == "km"  # the most sentences of the last message that has any
    assert parsed.messages[1] == messages[1]
    assert parsed.messages[2] == (
        "user",
        "Compare:\n@ (30) @ (30) with @ (560)".replace("@", TEXT_PLACEHOLDER),
    )
    ids = prompt.build(parsed.messages, [8, 3, 3, 8]).ids
    assert ids.count(SLOT_ID) == 30
    assert prompt.build(parsed.raw_messages) == prompt.build([*messages[:2], parsed.raw_messages[2]])
    for span in parsed.spans:
        assert messages[span.message][1][span.start : span.end].strip()
    covered = [messages[s.message][1][s.start : s.end] for s in parsed.spans if s.message == 2]
    assert "".join(covered) == messages[2][1]


def test_sentences_one_after_another_are_as_in_training(prompt: PromptBuilder) -> None:
    for content, instruction in (
        (f"Sentence 2: Who?\n{BO}{BO}", "Sentence 2: Who?"),
        (f"Sentence 1: Who? {BO} {BO}{BO}", "Sentence 1: Who?"),
        (f"Sentence 2: Who?\n{BO} The cook sold 3 apples. {BO}", "Sentence 2: Who?"),
        (f"Sentence 3: Who?\n{BO} The cook sold 3 apples. A girl left.", "Sentence 3: Who?"),
    ):
        parsed = parse([("user", content)], {"bo": SLOTS})
        text = content.removeprefix(instruction).strip()
        trained = prompt.slot_prompt(instruction, split_message(text, find("bo"), 3), SLOTS, find("bo"))
        assert ids_of(prompt, parsed) == trained


def test_foreign_words_within_english_stay_where_they_are() -> None:
    parsed = parse([("user", f"What does {BO} mean?")], {"bo": SLOTS})
    assert parsed.messages[0][1] == f"What does\n{TEXT_PLACEHOLDER} (560) mean?"


def test_english_stays_text_and_goes_to_the_base() -> None:
    parsed = parse([("user", "Who sold 30 apples?")], {"bo": SLOTS})
    assert parsed.messages == parsed.raw_messages == (("user", "Who sold 30 apples?"),)
    assert parsed.adapter is None and not parsed.sentences


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
    with pytest.raises(
        LanguageNotServed, match=rf"{called}.*taught: Tibetan \(bo\). Write English"
    ) as caught:
        parse([("user", "Hi"), ("user", text)], {"bo": SLOTS})
    assert caught.value.index == 1
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
    parsed = parse([("user", f"Who? {KM}")], {"bo": SLOTS}, unknown="text")
    assert parsed.messages == (("user", f"Who? {KM}"),) and parsed.spans[1].language == "km"
    assert not parsed.spans[1].sentences


def test_a_forced_language_reads_everything_foreign() -> None:
    parsed = parse([("user", f"Who? {KM}")], {"bo": SLOTS}, forced_language="bo")
    assert [s.language for s in parsed.sentences] == ["bo"]


def test_more_sentences_than_the_bundle_reads() -> None:
    with pytest.raises(LlinkError, match="4 Tibetan sentences, and its bundle reads 3"):
        parse([("user", BO * 4)], {"bo": SLOTS})
    one = parse([("user", BO * 4)], {"bo": SlotSettings(max_sentences=1)})
    assert len(one.sentences) == 1  # not trained on sentences: one text


def test_a_bundle_without_slots_leaves_the_text_and_brings_its_adapter() -> None:
    parsed = parse([("user", f"Who? {BO}")], {"bo": SlotSettings(variant="none", numerals=False)})
    assert parsed.sentences == () and parsed.adapter == "bo" and BO in parsed.messages[0][1]


def test_spans_say_which_sentences_slots_stand_for() -> None:
    bundles = {"bo": SlotSettings(variant="none"), "km": SLOTS}
    parsed = parse([("user", f"Who?\n{BO} {KM}")], bundles)
    assert [(span.language, span.slot_groups, span.numerals) for span in parsed.spans[1:]] == [
        ("bo", 0, []),
        ("km", 1, ["30"]),
    ]
    assert [sentence.language for sentence in parsed.sentences] == ["km"]
    assert parsed.messages[0][1].count(TEXT_PLACEHOLDER) == 1 and BO in parsed.messages[0][1]


def test_a_place_mark_in_a_persons_text_is_no_place(prompt: PromptBuilder) -> None:
    parsed = parse([("user", f"Who?{TEXT_PLACEHOLDER} {BO}"), ("assistant", TEXT_PLACEHOLDER)], {"bo": SLOTS})
    assert (
        sum(content.count(TEXT_PLACEHOLDER) for _, content in parsed.messages) == len(parsed.sentences) == 1
    )
    prompt.build(parsed.messages, [8])


UNSEEN = {
    "byte order mark": lambda t: f"\ufeff{t}",
    "direction marks": lambda t: f"\u202a\u200e{t}\u061c",
    "no-break blanks and a line break of slides": lambda t: t.replace(" ", "\u00a0").replace("\n", "\x0b"),
    "invisible letters within": lambda t: "\u2063".join(t),
    "joiners out of place": lambda t: t.replace("་", "\u200d་\u200c").replace("o", "o\u200d"),
}


@pytest.mark.parametrize("change", UNSEEN.values(), ids=UNSEEN)
def test_what_nobody_sees_changes_no_prompt_and_no_place(change: Callable[[str], str]) -> None:
    content = f"How many?\n{BO}"
    plain, parsed = (
        parse([("system", "Be brief."), ("user", text)], {"bo": SLOTS}) for text in (content, change(content))
    )
    assert (parsed.messages, parsed.raw_messages) == (plain.messages, plain.raw_messages)
    assert parsed.sentences == plain.sentences
    _, english, foreign = parsed.spans
    assert english.start == 0 and english.end == foreign.start and foreign.end == len(change(content))
    assert (foreign.language, foreign.numerals) == ("bo", ["560"])
    assert foreign.confidence == plain.spans[-1].confidence


def test_sentences_are_written_as_their_bundle_learnt_them() -> None:
    text = "საღამოს 12\u00a0345 კაცი იყო."
    older = parse([("user", text)], {"ka": SLOTS}, normalisation={"ka": FIRST_VERSION})
    newer = parse([("user", text)], {"ka": SLOTS})
    assert [s.text for s in older.sentences] == ["საღამოს 12 345 კაცი იყო."]
    assert [s.text for s in newer.sentences] == [text] and newer.spans[0].numerals == ["12345"]


def test_nothing_visible_is_an_empty_message() -> None:
    parsed = parse([("user", "\u200b\ufeff")], {"bo": SLOTS})
    assert parsed.messages == (("user", ""),) and not parsed.spans
