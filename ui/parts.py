"""The components of the page, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Parts:
    """Each is a Gradio component; ``page.py`` says where it stands."""

    store: Any
    """The browser's own storage: all conversations."""
    editing: Any
    """Place of the message that is being edited."""
    pair: Any
    """Two answers that wait for a vote."""
    new: Any
    listed: Any
    delete: Any
    as_md: Any
    as_json: Any
    memory: Any
    """Whether earlier messages go along."""
    consent: Any
    compare: Any
    about: Any
    """What the models cannot do."""
    hello: Any
    chat: Any
    coming: Any
    columns: Any
    left: Any
    right: Any
    votes: Any
    vote_left: Any
    vote_tie: Any
    vote_right: Any
    error: Any
    retry: Any
    undo: Any
    clear: Any
    up: Any
    down: Any
    cancel: Any
    passage: Any
    written: Any
    task: Any
    language: Any
    other: Any
    file: Any
    send: Any
    stop: Any
    name: Any
    kind: Any
    text: Any

    outputs: ClassVar[tuple[str, ...]] = (
        "store", "editing", "pair", "new", "listed", "delete", "about", "hello", "chat", "coming", "columns",
        "left", "right", "votes", "error", "retry", "undo", "clear", "up", "down", "cancel", "passage",
        "written", "task", "language", "other", "send", "stop",
    )  # fmt: skip
    """Those that a handler may change; it names what it does change."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)
