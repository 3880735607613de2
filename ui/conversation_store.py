"""The conversations of one browser, in the form that its local storage keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Self

from ui.conversation import Conversation

VERSION = 1
MAX_CONVERSATIONS = 60
"""The oldest are dropped first."""
MAX_CHARACTERS = 1_200_000
"""Of all conversations as JSON: a browser gives a page five million, and stores them encrypted."""
_TITLE_CHARACTERS = 48


@dataclass(frozen=True, slots=True)
class ConversationStore:
    """Conversations, the most recent first, and which of them is open; never empty."""

    conversations: tuple[Conversation, ...]
    open_id: str

    @classmethod
    def fresh(cls) -> Self:
        """One empty conversation."""
        conversation = Conversation.new()
        return cls((conversation,), conversation.id)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read the stored form; damaged or foreign entries are left out."""
        entries = data.get("conversations") if isinstance(data, dict) else None
        conversations: dict[str, Conversation] = {}
        for entry in entries[:MAX_CONVERSATIONS] if isinstance(entries, list) else ():
            try:
                conversation = Conversation.from_json(entry)
            except (ValueError, TypeError, KeyError):
                continue
            conversations.setdefault(conversation.id, conversation)
        if not conversations:
            return cls.fresh()
        return cls(tuple(conversations.values()), next(iter(conversations))).opened(data.get("open"))

    def to_json(self) -> dict[str, Any]:
        """The stored form: the open conversation, and as many of the others as there is room for."""
        open_first = sorted(self.conversations, key=lambda conversation: conversation.id != self.open_id)
        entries, characters = dict[str, Any](), 0
        for conversation in open_first[:MAX_CONVERSATIONS]:
            entry = conversation.to_json()
            characters += len(json.dumps(entry, ensure_ascii=False))
            if entries and characters > MAX_CHARACTERS:
                break
            entries[conversation.id] = entry
        kept = [entries[c.id] for c in self.conversations if c.id in entries]
        return {"version": VERSION, "open": self.open_id, "conversations": kept}

    @property
    def open(self) -> Conversation:
        """The conversation that is shown."""
        return next(c for c in self.conversations if c.id == self.open_id)

    @property
    def _others(self) -> tuple[Conversation, ...]:
        return tuple(c for c in self.conversations if c.id != self.open_id)

    def opened(self, conversation_id: Any) -> Self:
        """With another conversation open; unchanged where none has this id."""
        known = any(c.id == conversation_id for c in self.conversations)
        return replace(self, open_id=conversation_id) if known else self

    def added(self) -> Self:
        """With an empty conversation open: one that is there already, else a new one."""
        empty = next((c for c in self.conversations if not c.messages), None)
        if empty is not None:
            return self.opened(empty.id)
        new = Conversation.new()
        return replace(self, conversations=(new, *self.conversations), open_id=new.id)

    def with_open(self, conversation: Conversation) -> Self:
        """With a new state of the open conversation, which moves to the front."""
        return replace(self, conversations=(conversation, *self._others), open_id=conversation.id)

    def deleted(self) -> Self:
        """Without the open conversation."""
        others = self._others
        return replace(self, conversations=others, open_id=others[0].id) if others else self.fresh()

    @property
    def titles(self) -> list[tuple[str, str]]:
        """(title, id) of each conversation."""
        return [(title(conversation), conversation.id) for conversation in self.conversations]


def title(conversation: Conversation) -> str:
    """A conversation's name in the list: its title, else its first words."""
    words = " ".join(conversation.title.split())
    if not words:
        first = next((message.text for message in conversation.messages if message.role == "user"), "")
        words = " ".join(first.split()) or "New conversation"
    return words if len(words) <= _TITLE_CHARACTERS else f"{words[: _TITLE_CHARACTERS - 1]}…"
