"""Every message stands where the decoder's own format puts it, or is refused; nobody gets another's words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from chat_formats import FORMATS, ORDERS, REFUSED, SPECIALS
from hypothesis import given, settings
from hypothesis import strategies as st
from model_zoo import tokenizer

from llink_ray.errors import LlinkError
from llink_ray.prompts import DELIMITERS, SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.message import TEXT_PLACEHOLDER

ROLES = {"u": "user", "s": "system", "d": "developer", "a": "assistant"}
GENERIC = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|over|>{% endfor %}<|assistant|>"
LAST_TURN = (
    "{%- set ns = namespace(s='') -%}{%- for m in messages -%}{%- if m.role == 'system' -%}"
    "{%- set ns.s = ns.s ~ m.content ~ ' / ' -%}{%- elif m.role == 'user' -%}"
    "<|user|>{{ (ns.s if loop.last else '') ~ m.content }}{%- else -%}<|assistant|>{{ m.content }}"
    "{%- endif -%}{%- endfor -%}"
)
Chat = list[tuple[str, str]]


def make(chat: str | None) -> PromptBuilder:
    specials = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    return PromptBuilder(tokenizer(specials, SPECIALS, chat=chat))


def messages_in(order: str) -> Chat:
    return [(ROLES[letter], f"{letter.upper()}{place}") for place, letter in enumerate(order)]


def as_system(messages: Chat) -> Chat:
    return [("system" if role == "developer" else role, text) for role, text in messages]


def shown(prompt: PromptBuilder, ids: list[int]) -> str:
    return str(prompt.tokenizer.decode(ids))


@pytest.mark.parametrize("name", FORMATS)
def test_families(name: str) -> None:
    prompt = make(FORMATS[name])
    for order in ORDERS:
        messages = messages_in(order)
        if order in REFUSED.get(name, ()):
            with pytest.raises(LlinkError, match="chat format"):
                prompt.build(messages)
            continue
        rendered = shown(prompt, prompt.build(messages).ids)
        known = messages if name in ("harmony", "none") else as_system(messages)
        assert rendered == prompt.chat_format.render(known)
        assert all(rendered.count(text) == 1 for _, text in messages)


def test_a_text_that_is_moved_brings_its_slots() -> None:
    prompt = make(LAST_TURN)
    messages = [("system", "S%s"), ("user", "U%sV"), ("assistant", "A"), ("user", "W%s")]
    messages = [(role, text.replace("%s", TEXT_PLACEHOLDER)) for role, text in messages]
    placed = prompt.build(messages, [1, 2, 3])
    eos = prompt.tokenizer.eos_token_id
    runs = shown(prompt, [eos if i == SLOT_ID else i for i in placed.ids])
    for count in (3, 2, 1):
        runs = runs.replace("<eos>" * (count + DELIMITERS), f"[{count}]")
    assert runs == "<|user|>U[2]V<|assistant|>A<|user|>S[1] / W[3]"
    assert placed.order == (1, 0, 2)


def test_a_message_that_is_left_out_or_repeated_is_refused() -> None:
    chosen = (
        "{% for m in messages %}{% if m.role in ['user', 'assistant'] %}<|user|>{{ m.content }}{% endif %}"
    )
    with pytest.raises(LlinkError, match="leaves out message 1 of 2, of role system"):
        make(chosen + "{% endfor %}").build([("developer", "D"), ("user", "U")])
    twice = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}{{ messages[-1].content }}<|over|>"
    doubled = make("{% if messages[0].role == 'user' %}" + GENERIC + "{% else %}" + twice + "{% endif %}")
    assert shown(doubled, doubled.build([("user", "U")]).ids) == "<|user|>U<|over|><|assistant|>"
    with pytest.raises(LlinkError, match="repeats message 2 of 2, of role user"):
        doubled.build([("system", "S"), ("user", "U")])


def test_a_format_that_only_copies_the_role_s_name_does_not_know_developer() -> None:
    prompt = make(GENERIC)
    ids = prompt.build([("developer", "D"), ("user", "U")]).ids
    assert shown(prompt, ids) == "<|system|>D<|over|><|user|>U<|over|><|assistant|>"
    knows = make(GENERIC.replace("{{ m.role }}", "{{ 'user' if m.role == 'developer' else m.role }}"))
    assert shown(knows, knows.build([("developer", "D")]).ids) == "<|user|>D<|over|><|assistant|>"


def test_an_empty_message_is_what_the_format_makes_of_it() -> None:
    for name in ("llama 3", "phi 3"):
        prompt = make(FORMATS[name])
        messages = [("system", ""), ("user", "U")]
        assert shown(prompt, prompt.build(messages).ids) == prompt.chat_format.render(messages)


def test_reasoning_of_earlier_turns_is_left_out_where_the_format_does() -> None:
    for name in ("qwen 3", "deepseek"):
        prompt = make(FORMATS[name])
        messages = [("user", "U"), ("assistant", "<think>\nhm\n</think>A"), ("user", "</think> V")]
        rendered = shown(prompt, prompt.build(messages).ids)
        assert (
            rendered == prompt.chat_format.render(messages)
            and "hm" not in rendered
            and "</think> V" in rendered
        )
    prompt = make(FORMATS["smollm"])
    assert "hm" in shown(prompt, prompt.build([("user", "U"), ("assistant", "<think>hm</think>A")]).ids)


@pytest.mark.parametrize(
    "written", ["m.content | upper", "m.content[:3]", "m.content | e", "m.content.replace('x', '<|over|>')"]
)
def test_a_text_that_the_format_rewrites_is_refused(written: str) -> None:
    prompt = make(GENERIC.replace("m.content", written))
    with pytest.raises(LlinkError, match="rewrites the text of message 1 of 1, of role user"):
        prompt.build([("user", "ax < b")])
    assert shown(prompt, prompt.build([("user", "B 1")]).ids) == "<|user|>B 1<|over|><|assistant|>"


def test_a_format_that_goes_by_what_was_said_is_followed_or_refused() -> None:
    prompt = make("{% if '/short' in messages[0].content %}Be short.{% endif %}" + GENERIC)
    with pytest.raises(LlinkError, match="chat format"):
        prompt.build([("user", "Who? /short")])
    trims = make(GENERIC.replace("m.content", "m.content | trim"))
    assert shown(trims, trims.build([("user", "\n Who? ")]).ids) == "<|user|>Who?<|over|><|assistant|>"


def test_a_format_that_fails_is_refused_in_words() -> None:
    for broken in ("{{ 1 / 0 }}", "{{ messages[0].content + 1 }}", "{{ messages[7].content }}"):
        prompt = make(GENERIC)
        prompt.tokenizer.chat_template = broken
        with pytest.raises(LlinkError, match="does not take messages of system, user"):
            prompt.build([("system", "S"), ("user", "U")])


def test_the_clock_stands_still() -> None:
    rendered = make(FORMATS["harmony"]).chat_format.render([("user", "U")])
    assert rendered.startswith("<|turn|>system<|message|>Current date: 2024-07-26\n#")


RULES = (
    "{B}{{ m.content }}{E}",
    "{B}{{ m.content | trim }}{E}",
    "",
    "{B}{{ m.content }}{{ m.content }}{E}",
    "{%- set ns.kept = ns.kept ~ m.content ~ ' / ' -%}",
    "{B}{{ ns.kept }}{{ m.content }}{%- set ns.kept = '' -%}",
    "{B}{{ ns.kept if loop.last else '' }}{{ m.content }}{E}",
    "{B}{{ m.content | upper }}{E}",
    "{B}{{ m.content[:2] }}{E}",
    "{B}{{ messages[loop.index0 - 1].content }}{E}",
    "{{ raise_exception('no') }}",
    "{B}{{ m.content if m.content | length < 4 else '' }}{E}",
    "{B}{{ m.role }}: {{ m.content }}{E}",
)
SIGNS = st.sampled_from(["<|user|>", "<|system|>", "\n", " ", "", "x", "[INST] "])


@st.composite
def templates(draw: st.DrawFn) -> str:
    """A format with a rule for each role, one for roles it has no rule for, and something at its end."""
    branches, word = "", "if"
    for role in draw(st.permutations([*ROLES.values()]))[: draw(st.integers(0, 4))]:
        rule = draw(st.sampled_from(RULES)).replace("{B}", draw(SIGNS)).replace("{E}", draw(SIGNS))
        branches += f"{{%- {word} m.role == '{role}' -%}}{rule}"
        word = "elif"
    other = draw(st.sampled_from(RULES)).replace("{B}", draw(SIGNS)).replace("{E}", draw(SIGNS))
    inner = f"{branches}{{%- else -%}}{other}{{%- endif -%}}" if branches else other
    turned = draw(st.sampled_from(["messages", "messages", "messages | reverse", "messages[1:]"]))
    tail = draw(st.sampled_from(["", "{{ ns.kept }}", "<|assistant|>"]))
    loop = f"{{%- for m in {turned} -%}}{inner}{{%- endfor -%}}"
    return f"{{%- set ns = namespace(kept='') -%}}{loop}{tail}"


PLAIN = make(None)


@settings(max_examples=100, deadline=None)
@given(
    templates(),
    st.lists(
        st.tuples(st.sampled_from([*ROLES.values()]), st.text(alphabet="ab \n<|over|>", max_size=12)),
        min_size=1,
        max_size=4,
    ),
)
def test_no_format_gives_one_message_the_place_of_another(chat: str, messages: Chat) -> None:
    messages = [(role, f"{text}{place}" if text else "") for place, (role, text) in enumerate(messages)]
    PLAIN.tokenizer.chat_template = chat
    try:
        prompt = PromptBuilder(PLAIN.tokenizer)
        rendered = shown(prompt, prompt.build(messages).ids)
    except LlinkError as error:
        assert "chat format" in str(error)
        return
    written = []
    for meant in (messages, as_system(messages)):
        with suppress(LlinkError):
            written.append(prompt.chat_format.render(meant))
    assert rendered in written
    assert all(text.strip() in rendered for _, text in messages)
