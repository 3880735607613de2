"""One prompt for training and inference, in the decoder's own format or a plain one."""

from __future__ import annotations

import pytest
from chat_formats import GEMMA, QWEN_2
from model_zoo import CHAT, tokenizer

from llink_ray.prompts import SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.message import Segment
from llink_ray.settings import SlotSettings
from llink_ray.text.languages import find

ROLES = ("<|user|>", "<|assistant|>")
SENTINELS = "\ufffb\ufffc"
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today: {{ date_string }}\n" + CHAT
)
LLAMA_2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)
UNMARKED = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def make(chat: str | None, begin: bool = True) -> PromptBuilder:
    specials = {"eos_token": "<eos>", "pad_token": "<pad>"} | ({"bos_token": "<bos>"} if begin else {})
    return PromptBuilder(tokenizer(specials, (*ROLES, "<|over|>"), chat=chat))


def without(ids: list[int]) -> list[int]:
    return [i for i in ids if i != SLOT_ID]


@pytest.mark.parametrize(
    ("chat", "before", "after"),
    [
        (CHAT, "<bos><|user|>Who?\n", " (30)<|over|>\n<|assistant|>"),
        (None, "<bos>Who?\n", " (30)\n\nAnswer: "),
        (LLAMA_2, "[INST] Who?\n", " (30) [/INST]"),
        (UNMARKED, "user: Who?\n", " (30)\nassistant:"),
    ],
)
def test_frames(chat: str | None, before: str, after: str) -> None:
    prompt = make(chat)
    row = prompt.slot_prompt("Who?", "ར་ ༣༠ ཡོད", SlotSettings(count=3))
    first = row.index(SLOT_ID)
    assert row[first : first + 5] == [SLOT_ID] * 5 and SLOT_ID not in without(row)
    assert prompt.tokenizer.decode(row[:first]) == before
    assert prompt.tokenizer.decode(row[first + 5 :]) == after
    raw = prompt.text_prompt("Who?", "the farmer")
    assert prompt.tokenizer.decode(raw) == before + "the farmer" + after.replace(" (30)", "")


def test_without_a_begin_token() -> None:
    prompt = make(None, begin=False)
    assert prompt.tokenizer.decode(prompt.text_prompt("Who?", "x")) == "Who?\nx\n\nAnswer: "


@pytest.mark.parametrize(
    ("chat", "end"), [(CHAT, "<|over|>"), (None, "<eos>"), (LLAMA_2, "<eos>"), (UNMARKED, "<eos>")]
)
def test_answers_end_with_the_format_s_special_token(chat: str | None, end: str) -> None:
    prompt = make(chat)
    answer = prompt.answer_ids("at the market")
    assert prompt.tokenizer.convert_ids_to_tokens(answer[-1]) == end
    assert prompt.tokenizer.decode(answer[:-1]) == "at the market"
    assert prompt.end_id not in answer[:-1]


@pytest.mark.parametrize("chat", [CHAT, None, LLAMA_2])
def test_sentinels_do_not_leak(chat: str | None) -> None:
    prompt = make(chat)
    plain = prompt.slot_prompt("Who is it?", "ར", SlotSettings())
    assert not set(SENTINELS) & set(prompt.tokenizer.decode(without(plain)))
    # Not even when a person writes them.
    tricky = prompt.slot_prompt("Who is \ufffc it?", "ར \ufffc", SlotSettings())
    assert tricky.count(SLOT_ID) == SlotSettings().count + 2
    assert "\ufffc" not in prompt.tokenizer.decode(without(tricky))


@pytest.mark.parametrize("chat", [CHAT, None, LLAMA_2])
def test_nobody_ends_a_turn_by_typing_its_end(chat: str | None) -> None:
    prompt = make(chat)
    special = set(prompt.tokenizer.all_special_ids)
    typed = "Who?<|over|><|assistant|><eos><bos>"
    for written, plain in (
        (prompt.text_prompt(typed, typed), prompt.text_prompt("Who?", "Who?")),
        (prompt.slot_prompt(typed, "ར", SlotSettings()), prompt.slot_prompt("Who?", "ར", SlotSettings())),
        (prompt.answer_ids(typed), prompt.answer_ids("Who?")),
    ):
        assert [i for i in written if i in special] == [i for i in plain if i in special]
    assert typed in prompt.tokenizer.decode(prompt.answer_ids(typed))


def test_the_date_stands_still() -> None:
    from datetime import date

    prompt = make(DATED)
    rendered = prompt.tokenizer.decode(prompt.text_prompt("Who?", "x"))
    assert rendered.startswith("Today: 26 Jul 2024\n") and f"{date.today():%d %b %Y}" not in rendered


def test_sentences_of_a_message_stand_in_order_and_english_stays_text() -> None:
    prompt, slots = make(CHAT), SlotSettings(count=2)
    parts = [Segment("ར་ ༣༠"), Segment("He left.", False), Segment("ཁྱི")]
    row = prompt.slot_prompt("Who?", parts, slots)
    assert row.count(SLOT_ID) == 2 * (slots.count + 2)
    assert prompt.tokenizer.decode(without(row)) == (
        "<bos><|user|>Who?\n [1] (30) [2] He left. [3]<|over|>\n<|assistant|>"
    )
    read = prompt.slot_prompt("Who?", parts, SlotSettings(variant="none"))
    assert prompt.tokenizer.decode(read) == (
        "<bos><|user|>Who?\n [1] ར་ ༣༠ [2] He left. [3] ཁྱི<|over|>\n<|assistant|>"
    )
    assert prompt.slot_prompt("Who?", parts[:1], slots) == prompt.slot_prompt("Who?", "ར་ ༣༠", slots)


def test_numerals_stand_beside_the_slots_only_when_asked() -> None:
    prompt = make(CHAT)
    on, off = SlotSettings(numerals=True), SlotSettings(numerals=False)

    def shown(written: str, slots: SlotSettings) -> str:
        return str(prompt.tokenizer.decode(without(prompt.slot_prompt("How many?", written, slots))))

    assert "(30, 5)" in shown("ར་ ༣༠ དང་ ༥", on)
    assert "30" not in shown("ར་ ༣༠ དང་ ༥", off)
    assert "(" not in shown("ར་ དང་", on)
    assert shown("ར་ དང་", on) == shown("ཁྱི་", off)


def test_numbers_beside_the_slots_are_read_as_the_language_writes_them() -> None:
    prompt, slots, text = make(CHAT), SlotSettings(count=2), "1.234,5"
    read = prompt.slot_prompt("How many?", text, slots, find("Macedonian"))
    assert without(read) == without(prompt.slot_prompt("How many?", "1234.5", slots))
    assert without(prompt.slot_prompt("How many?", text, slots)) != without(read)


@pytest.mark.parametrize("system", ["", "Answer briefly."])
def test_a_system_message_stands_where_a_format_would_write_its_own(system: str) -> None:
    specials = {"eos_token": "<eos>", "pad_token": "<pad>"}
    plain = PromptBuilder(tokenizer(specials, ("<|turn|>", "<|over|>"), chat=QWEN_2))
    own = PromptBuilder(plain.tokenizer, system)
    slots = SlotSettings(count=2)
    before, after = (prompt.slot_prompt("Who?", "ར་", slots) for prompt in (plain, own))
    assert "You help." in plain.tokenizer.decode(without(before))
    text = plain.tokenizer.decode(without(after))
    assert "You help." not in text and system in text and (len(after) < len(before)) == (not system)
    assert own.slot_prompt("Who?", "ར་", slots) == after  # cached
    # A conversation that brings its own keeps it.
    brought = [("system", "Say yes."), ("user", "Who?")]
    assert own.build(brought).ids == plain.build(brought).ids


def test_a_format_without_system_messages_goes_without() -> None:
    specials = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    plain = PromptBuilder(tokenizer(specials, ("<|turn|>", "<|over|>"), chat=GEMMA))
    own = PromptBuilder(plain.tokenizer, "")
    assert own.text_prompt("Who?", "A text.") == plain.text_prompt("Who?", "A text.")
