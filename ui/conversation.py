"""Conversations and messages as immutable values, with their export as Markdown."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter

from ui.message_schema import MAX_MESSAGES, Id, LongText, Metadata, ShortText, Span

FORMAT = 2
"""Of the exported JSON."""


@dataclass(frozen=True)
class Message:
    """One message of the user or the assistant."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    role: Literal["user", "assistant"]
    text: LongText
    spans: tuple[Span, ...] = ()
    """By language, as ``/v1/detect`` gives them."""
    metadata: Annotated[
        Metadata | None,
        Field(validation_alias=AliasChoices("metadata", "seen")),  # "seen" in format 1
    ] = None
    """Of an answer: ``model``, ``llink``, ``usage``, ``first_token``, ``tokens_per_second`` …"""
    error: ShortText | None = None
    """Why an answer is incomplete."""
    vote: Literal["up", "down"] | None = None

    def to_json(self) -> dict[str, Any]:
        """The form that the browser stores."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read the stored form.

        Raises:
            ValueError: it is not a message.
        """
        return _MESSAGE.validate_python(data)  # type: ignore[return-value]


@dataclass(frozen=True)
class Conversation:
    """Messages in order."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    id: Id
    title: ShortText = ""
    messages: Annotated[tuple[Message, ...], Field(max_length=MAX_MESSAGES)] = ()

    @classmethod
    def new(cls) -> Self:
        """An empty conversation with a random id."""
        return cls(secrets.token_hex(6))

    def to_json(self) -> dict[str, Any]:
        """The form that the browser stores and that is exported."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read the stored form.

        Raises:
            ValueError: it is not a conversation.
        """
        return _CONVERSATION.validate_python(data)  # type: ignore[return-value]

    def api_messages(self) -> list[dict[str, str]]:
        """Messages for the API, without answers that never came."""
        return [{"role": m.role, "content": m.text} for m in self.messages if m.text or m.role == "user"]

    def with_user(self, text: str) -> Self:
        """With one more message of the user."""
        return self.with_answer(Message("user", text))

    def with_answer(self, answer: Message) -> Self:
        """With one more message."""
        return replace(self, messages=(*self.messages, answer))

    def with_spans(self, spans: Sequence[Mapping[str, Any]]) -> Self:
        """With the languages of the last message."""
        return self._replace_last(spans=tuple(map(dict, spans)))

    def with_vote(self, vote: str) -> Self:
        """With a vote on the last message, ``up`` or ``down``."""
        return self._replace_last(vote=vote)

    def _replace_last(self, **changes: Any) -> Self:
        if not self.messages:
            return self
        return replace(self, messages=(*self.messages[:-1], replace(self.messages[-1], **changes)))

    def truncated(self, index: int) -> Self:
        """The messages before ``index``."""
        return replace(self, messages=self.messages[:index])

    def undone(self) -> Self:
        """Without the last message of the user and its answer."""
        return self if self._last_user is None else self.truncated(self._last_user)

    def without_answer(self) -> Self:
        """Without the answer to the last message of the user."""
        return self if self._last_user is None else self.truncated(self._last_user + 1)

    def without_unanswered(self, text: str) -> Self:
        """Without the last message where it is ``text`` and nothing was answered."""
        last = self.messages[-1] if self.messages else None
        repeated = last is not None and last.role == "user" and last.text == text
        return self.undone() if repeated else self

    @property
    def _last_user(self) -> int | None:
        """Index of the user's last message."""
        indices = (i for i in reversed(range(len(self.messages))) if self.messages[i].role == "user")
        return next(indices, None)

    def markdown(self, now: datetime | None = None) -> str:
        """The export; no message text turns into a picture, a link or a heading."""
        date = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
        parts = [f"# {escape_markdown(self.title or 'Conversation')}", f"*{date}*"]
        for message in self.messages:
            model = (message.metadata or {}).get("model")
            answered_by = f"Answer ({escape_markdown(model)})" if model else "Answer"
            parts.append(f"**{'You' if message.role == 'user' else answered_by}**")
            parts.append(
                "  \n".join(f"> {escape_markdown(line)}" for line in message.text.splitlines() or [""])
            )
            if message.error:
                parts.append(f"*{escape_markdown(message.error)}*")
        return "\n\n".join(parts) + "\n"


_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_CONVERSATION: TypeAdapter[Conversation] = TypeAdapter(Conversation)
_SPECIAL = re.compile(r"[\\`*_\[\]<>#!|~&$@^]|(?<=[a-zA-Z]):(?=//)|(?<=www)\.|^\s*(?:[+=-]|\d+[.)])", re.I)


def escape_markdown(line: str) -> str:
    """One line as Markdown that displays exactly that line."""
    indent = len(line) - len(line.lstrip(" \t"))
    line = "\u00a0" * indent + line[indent:]
    return _SPECIAL.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", line)
