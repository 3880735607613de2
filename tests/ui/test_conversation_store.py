"""The browser's conversations: which is open, what is left out, what is kept when room runs short."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ui import conversation_store as conversation_store
from ui.conversation import Conversation, Message
from ui.conversation_store import ConversationStore, title


def talk(store: ConversationStore, text: str) -> ConversationStore:
    return store.with_open(store.open.with_user(text).with_answer(Message("assistant", "yes")))


def test_conversations_come_back_as_they_were_kept() -> None:
    store = talk(talk(ConversationStore.fresh(), "one").added(), "two")
    again = ConversationStore.from_json(json.loads(json.dumps(store.to_json())))
    assert again == store and [name for name, _ in again.titles] == ["two", "one"]
    older = again.opened(again.conversations[1].id)
    assert (
        older.open.messages[0].text == "one"
        and ConversationStore.from_json(older.to_json()).open == older.open
    )
    assert again.opened("no such thing") == again


def test_one_that_is_empty_is_taken_before_another_is_made() -> None:
    store = talk(ConversationStore.fresh(), "one").added()
    assert store.added() == store and len(store.conversations) == 2
    assert [one for one, _ in store.titles] == ["New conversation", "one"]


def test_there_is_always_one() -> None:
    store = talk(ConversationStore.fresh(), "one")
    gone = store.deleted()
    assert len(gone.conversations) == 1 and not gone.open.messages and gone.open_id != store.open_id


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["id", "messages", "conversations", "open"]), inner)
    ),
)


@given(nonsense)
def test_what_is_damaged_is_left_out(stored: Any) -> None:
    good = talk(ConversationStore.fresh(), "kept")
    for damaged in (stored, {"conversations": stored}, {"conversations": [stored], "open": stored}):
        assert ConversationStore.from_json(damaged).open.messages == ()
    kept = ConversationStore.from_json({"conversations": [stored, good.open.to_json()], "open": stored})
    assert [one for one in kept.conversations if one.messages] == [good.open]


def test_the_oldest_go_when_room_runs_short_and_the_open_one_never() -> None:
    store = ConversationStore.fresh()
    for number in range(30):
        store = talk(store.added(), f"{number} " + "x" * 100_000)
    kept = ConversationStore.from_json(store.to_json())
    assert 5 < len(kept.conversations) < 15 and kept.conversations[0] == store.conversations[0]
    oldest = store.opened(store.conversations[-1].id)
    kept = ConversationStore.from_json(oldest.to_json())
    assert (
        kept.open == oldest.open
        and len(json.dumps(oldest.to_json())) < 1.2 * conversation_store.MAX_CHARACTERS
    )
    many = store
    for number in range(conversation_store.MAX_CONVERSATIONS + 5):
        many = talk(many.added(), str(number))
    assert len(many.to_json()["conversations"]) == conversation_store.MAX_CONVERSATIONS


@given(st.text())
def test_a_title_is_short_and_one_line(text: str) -> None:
    name = title(Conversation("x").with_user(text))
    assert 0 < len(name) <= 48 and "\n" not in name
