"""The conversations of one browser, and which is open. What a browser stored is checked like a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ui.conversation import Conversation

VERSION = 1
MOST = 60
"""Conversations that are kept; the oldest go first."""
MOST_LETTERS = 1_200_000
"""Of all together as JSON: a browser gives a page five million, and encrypts what it stores."""
_TITLE = 48


@dataclass(frozen=True, slots=True)
class ConversationStore:
    """Conversations, the newest first; one of them is open. Never empty."""

    conversations: tuple[Conversation, ...]
    open_id: str

    @classmethod
    def fresh(cls) -> ConversationStore:
        """One conversation with nothing in it."""
        first = Conversation.new()
        return cls((first,), first.id)

    @classmethod
    def from_json(cls, data: Any) -> ConversationStore:
        """What the browser had; what is damaged or foreign in it is left out."""
        found = list[Conversation]()
        stored = data.get("conversations") if isinstance(data, dict) else None
        for one in stored[:MOST] if isinstance(stored, list) else ():
            try:
                conversation = Conversation.from_json(one)
            except (ValueError, TypeError, KeyError):
                continue
            if all(conversation.id != other.id for other in found):
                found.append(conversation)
        if not found:
            return cls.fresh()
        wanted = data.get("open")
        chosen = next((one.id for one in found if one.id == wanted), found[0].id)
        return cls(tuple(found), chosen)

    def to_json(self) -> dict[str, Any]:
        """For the browser: as many, from the newest on, as it has room for."""
        kept, letters = list[Any](), 0
        for place, one in enumerate(self._by_use()):
            data = one.to_json()
            letters += len(json.dumps(data, ensure_ascii=False))
            if place and (letters > MOST_LETTERS or place >= MOST):
                break
            kept.append(data)
        ids = [one["id"] for one in kept]
        kept.sort(key=lambda data: [one.id for one in self.conversations].index(data["id"]))
        return {
            "version": VERSION,
            "open": self.open_id if self.open_id in ids else ids[0],
            "conversations": kept,
        }

    def _by_use(self) -> Sequence[Conversation]:
        """The open one first, since it must not be lost."""
        return [self.open, *(one for one in self.conversations if one.id != self.open_id)]

    @property
    def open(self) -> Conversation:
        """The conversation that is shown."""
        return next(one for one in self.conversations if one.id == self.open_id)

    def opened(self, conversation_id: Any) -> ConversationStore:
        """With another one shown; the same where there is none of that name."""
        known = any(one.id == conversation_id for one in self.conversations)
        return replace(self, open_id=conversation_id) if known else self

    def added(self) -> ConversationStore:
        """With an empty one shown; an empty one that is there already is taken."""
        empty = next((one for one in self.conversations if not one.messages), None)
        if empty is not None:
            return self.opened(empty.id)
        new = Conversation.new()
        return ConversationStore((new, *self.conversations), new.id)

    def with_open(self, conversation: Conversation) -> ConversationStore:
        """With the shown one in a new state, which brings it to the top."""
        rest = tuple(one for one in self.conversations if one.id != self.open_id)
        return ConversationStore((conversation, *rest), conversation.id)

    def deleted(self) -> ConversationStore:
        """Without the shown one."""
        rest = tuple(one for one in self.conversations if one.id != self.open_id)
        return ConversationStore(rest, rest[0].id) if rest else ConversationStore.fresh()

    @property
    def titles(self) -> list[tuple[str, str]]:
        """(title, id) of each."""
        return [(title(one), one.id) for one in self.conversations]


def title(conversation: Conversation) -> str:
    """A conversation's name in the list: its first words."""
    words = " ".join((conversation.title or "").split())
    if not words:
        first = next((message.text for message in conversation.messages if message.role == "user"), "")
        words = " ".join(first.split()) or "New conversation"
    return words if len(words) <= _TITLE else f"{words[: _TITLE - 1]}…"
