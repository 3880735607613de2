"""The bytes of tokens are their own, and together they are the text's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import BYTES, TOKENIZERS

from llink_ray.engine import Answer, EngineRequest, PromptInput, RequestHandle, SamplingParams
from llink_ray.engine.request_state import RequestState
from llink_ray.engine.vocabulary import Vocabulary, character_starts, display_name

ANSWERS = ["ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།", "កសិករលក់ផ្លែប៉ោម៣០។", "አርሶ አደሩ ፴ ፖም ሸጠ።", " the river 🐟 "]
VOCABULARY = Vocabulary(BYTES)
END = BYTES.eos_token_id


def answered(tokens: list[int], **sampling: Any) -> tuple[Answer, list[str]]:
    """What is said of these tokens, and in which parts."""
    given = SamplingParams(**{"max_tokens": len(tokens), "logprobs": 2} | sampling)
    handle = RequestHandle()
    row = RequestState(
        EngineRequest(PromptInput((1,)), None, given),
        handle,
        VOCABULARY,
        adapter=0,
        max_tokens=given.max_tokens,
        end_ids=frozenset({END}),
    )
    logits = torch.zeros(len(BYTES))
    for token in tokens:
        if not row.advance(token, logits):
            break
    events = list(handle.events(timeout=0))
    for event in events:
        assert given.logprobs is None or joined_bytes(event.tokens).decode(errors="replace") == event.text
    text, made = "".join(event.text for event in events), [t for event in events for t in event.tokens]
    done = events[-1].finish
    assert done is not None
    return Answer(text, tuple(made), done), [event.text for event in events]


def joined_bytes(tokens: Any) -> bytes:
    return b"".join(token.bytes for token in tokens)


def ids_of(text: str) -> list[int]:
    return list(BYTES(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("strip", [True, False])
@pytest.mark.parametrize("text", ANSWERS)
def test_bytes_join_to_the_text(text: str, strip: bool) -> None:
    def bare(said: str) -> str:
        return said.strip() if strip else said

    ids = ids_of(text)
    whole, parts = answered([*ids, END], max_tokens=len(ids) + 1, strip=strip)
    assert whole.text == bare(text) and joined_bytes(whole.tokens) == whole.text.encode() and len(parts) > 3
    assert [token.id for token in whole.tokens] == ids
    for most in range(1, len(ids)):
        cut, _ = answered(ids, max_tokens=most, strip=strip)
        assert joined_bytes(cut.tokens) == cut.text.encode() and cut.finish.reason == "length"
        assert cut.text == bare(BYTES.decode(ids[:most]).rstrip("\ufffd"))
    for begin in range(len(text) - 2):
        stop = text[begin : begin + 2]
        stopped, _ = answered([*ids, END], stop=(stop,), max_tokens=len(ids) + 1, strip=strip)
        assert joined_bytes(stopped.tokens) == stopped.text.encode()
        assert stopped.text == bare(text[: text.index(stop)])


def test_a_token_that_is_said_in_part_has_one_name() -> None:
    told, _ = answered(ids_of(" river")[:1] * 2, max_tokens=2)
    said = [token.text for token in told.tokens]
    assert said[0] == said[1].lstrip() != said[1]


@given(
    st.lists(st.integers(0, len(BYTES) - 1), min_size=1, max_size=30),
    st.sampled_from([(), ("e",), ("a\ufffd",)]),
)
def test_whatever_is_drawn(ids: list[int], stop: tuple[str, ...]) -> None:
    for strip in (True, False):
        told, _ = answered([*ids, END], stop=stop, max_tokens=len(ids) + 1, strip=strip)
        plain, _ = answered([*ids, END], stop=stop, max_tokens=len(ids) + 1, strip=strip, logprobs=None)
        assert joined_bytes(told.tokens).decode(errors="replace") == told.text == plain.text
    if not stop and END not in ids:
        assert [token.id for token in told.tokens] == ids


def test_pieces_of_a_letter_have_names_of_their_own() -> None:
    names = {VOCABULARY.name_of(i) for i in range(len(BYTES))}
    assert len(names) == len(BYTES) and "\ufffd" not in "".join(names)
    told, _ = answered([*ids_of("ང"), END], max_tokens=4)
    assert [token.text for token in told.tokens] == [r"bytes:\xe0", r"bytes:\xbd", r"bytes:\x84"]
    assert [token.bytes for token in told.tokens] == [b"\xe0", b"\xbd", b"\x84"]


def test_special_tokens_are_named_and_say_nothing() -> None:
    assert VOCABULARY.bytes_of(END) == b"" and VOCABULARY.name_of(END) == "<eos>"
    assert VOCABULARY.bytes_of(10**6) == b"" and VOCABULARY.name_of(10**6) == "token_id:1000000"
    for added in ("<think>", "  \u00e9"):
        assert VOCABULARY.bytes_of(BYTES.convert_tokens_to_ids(added)).decode() == added


@pytest.mark.parametrize("name", TOKENIZERS)
def test_bytes_of_every_kind_of_tokenizer_join_to_what_it_decodes(name: str) -> None:
    made = TOKENIZERS[name]
    known = Vocabulary(made)
    text = {
        "bytes": " the river a b ང་ཕ",
        "fallback": " the river a b ང་ཕ",
        "suffixes": "Where did the farmer sell 30 horses",
    }.get(name, "the rivers ab the river")
    ids = made(text, add_special_tokens=False)["input_ids"]
    assert made.unk_token_id is None or made.unk_token_id not in ids
    assert b"".join(map(known.bytes_of, ids)).decode().strip() == made.decode(ids).strip()


@given(st.binary(max_size=12) | st.text(alphabet="aང🐟", max_size=5).map(str.encode))
def test_letter_starts(raw: bytes) -> None:
    starts, text = character_starts(raw), raw.decode(errors="replace")
    assert len(starts) == len(text) and starts == sorted(set(starts))
    for start, letter in zip(starts, text, strict=True):
        assert letter == "\ufffd" or raw[start:].startswith(letter.encode())
    assert display_name(raw) == text or "\ufffd" in text
