"""A conversation and its messages: values that are never changed; each step gives a new one."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter

from ui.stored import MESSAGES, Id, Seen, Short, Span, Text

Role = Literal["user", "assistant"]
FORMAT = 1
"""Of the exported JSON."""


@dataclass(frozen=True)
class Message:
    """What somebody said."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    role: Role
    text: Text
    spans: tuple[Span, ...] = ()
    """Its stretches by language, as ``/v1/detect`` has them."""
    seen: Seen | None = None
    """Of an answer: ``model``, ``llink``, ``usage``, ``first_token``, ``tokens_per_second``, …"""
    error: Short | None = None
    """Why an answer is not whole."""
    vote: Literal["up", "down"] | None = None

    def to_json(self) -> dict[str, Any]:
        """For the browser."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """What a browser kept.

        Raises:
            ValueError: it is no such thing.
        """
        return _MESSAGE.validate_python(data)  # type: ignore[return-value]


@dataclass(frozen=True)
class Conversation:
    """Messages in order, of a user and an assistant in turn."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    id: Id
    title: Short = ""
    messages: Annotated[tuple[Message, ...], Field(max_length=MESSAGES)] = ()

    @classmethod
    def new(cls) -> Self:
        """An empty one."""
        return cls(secrets.token_hex(6))

    def to_json(self) -> dict[str, Any]:
        """For the browser, and as it is exported."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """What a browser kept.

        Raises:
            ValueError: it is no such thing.
        """
        return _CONVERSATION.validate_python(data)  # type: ignore[return-value]

    def api_messages(self) -> list[dict[str, str]]:
        """As the API takes them; an answer that never came is not sent."""
        return [{"role": m.role, "content": m.text} for m in self.messages if m.text or m.role == "user"]

    def with_user(self, text: str) -> Self:
        """With another message of the user."""
        return replace(self, messages=(*self.messages, Message("user", text)))

    def with_answer(self, answer: Message) -> Self:
        """With an answer to the last message."""
        return replace(self, messages=(*self.messages, answer))

    def with_spans(self, spans: Sequence[Mapping[str, Any]]) -> Self:
        """With the languages of the last message."""
        return self._last(spans=tuple(map(dict, spans)))

    def with_vote(self, vote: str) -> Self:
        """With a thumb on the last message, ``up`` or ``down``."""
        return self._last(vote=vote)

    def _last(self, **changes: Any) -> Self:
        if not self.messages:
            return self
        return replace(self, messages=(*self.messages[:-1], replace(self.messages[-1], **changes)))

    def undone_to(self, place: int) -> Self:
        """What was said before the message at a place."""
        return replace(self, messages=self.messages[:place])

    def edited(self, place: int, text: str) -> Self:
        """With another text in a message's place; what came behind it is gone."""
        return self.undone_to(place).with_user(text)

    def undone(self) -> Self:
        """Without the last message of the user and what was answered."""
        return self.undone_to(self._asked) if self._asked is not None else self

    def without_unanswered(self, text: str) -> Self:
        """Without the last message where nothing was answered and the same is said again."""
        last = self.messages[-1] if self.messages else None
        again = last is not None and last.role == "user" and last.text == text
        return self.undone() if again else self

    def retried(self) -> Self:
        """Without what was answered to the last message."""
        return self.undone_to(self._asked + 1) if self._asked is not None else self

    @property
    def _asked(self) -> int | None:
        """Place of the user's last message."""
        places = [place for place, message in enumerate(self.messages) if message.role == "user"]
        return places[-1] if places else None

    def markdown(self, now: datetime | None = None) -> str:
        """For reading elsewhere; nothing that was said becomes a picture, a link or a heading there."""
        when = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
        parts = [f"# {plain(self.title or 'Conversation')}", f"*{when}*"]
        for message in self.messages:
            parts.append(f"**{'You' if message.role == 'user' else _who(message)}**")
            parts.append("  \n".join(f"> {plain(line)}" for line in message.text.splitlines() or [""]))
            if message.error:
                parts.append(f"*{plain(message.error)}*")
        return "\n\n".join(parts) + "\n"


def _who(answer: Message) -> str:
    model = (answer.seen or {}).get("model")
    return f"Answer ({plain(model)})" if model else "Answer"


_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_CONVERSATION: TypeAdapter[Conversation] = TypeAdapter(Conversation)
_SPECIAL = re.compile(r"[\\`*_\[\]<>#!|~&$@^]|(?<=[a-zA-Z]):(?=//)|(?<=www)\.|^\s*(?:[+=-]|\d+[.)])", re.I)


def plain(line: str) -> str:
    """One line as Markdown that shows exactly it."""
    indented = len(line) - len(line.lstrip(" \t"))
    line = "\u00a0" * indented + line[indented:]
    return _SPECIAL.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line)
