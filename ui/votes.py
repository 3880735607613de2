"""Votes and thumbs, a line each in a file that the operator named; the evaluation's judge report reads it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.votes import Thumb, Vote
from llink_ray.text.languages import DECODER_LANGUAGE
from ui.conversation import Conversation, Message

_WINNERS: dict[str, Literal["a", "b", "tie"]] = {"left": "a", "right": "b", "tie": "tie"}


class Votes:
    """The file, added to; without a path nothing is ever kept."""

    def __init__(self, path: str | Path | None) -> None:
        """Makes the file where there is none.

        Raises:
            LlinkError: it cannot be written.
        """
        self.path = Path(path) if path is not None else None
        self._lock = threading.Lock()
        if self.path is None:
            return
        try:
            with self._opened(self.path):
                pass
        except OSError as error:
            raise LlinkError(
                f"votes cannot be kept in {self.path} ({error.strerror}): name another file with --votes"
            ) from None

    def record(
        self,
        kind: Literal["vote", "thumb"],
        conversation: Conversation,
        *,
        choice: str,
        left: Message | None = None,
        right: Message | None = None,
        models: Sequence[str] = (),
    ) -> None:
        """Keep one: a ``vote`` (``left``, ``right``, ``tie``) between two answers to the last question, or a
        ``thumb`` (``up``, ``down``) on the last answer.

        Raises:
            JobFailed: the file cannot be written any more.
            ValueError: nothing was asked or answered yet, or there is no such choice.
        """
        if self.path is None:
            return
        self._write(
            _vote(conversation, choice, left, right, models)
            if kind == "vote"
            else _thumb(conversation, choice)
        )

    def _write(self, line: Vote | Thumb) -> None:
        assert self.path is not None, "looked at before"
        data = json.dumps(line.model_dump(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self._lock, self._opened(self.path) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JobFailed(
                f"the vote could not be kept ({error.strerror}): tell whoever runs this chat"
            ) from None

    def _opened(self, path: Path) -> Any:
        """For adding, readable by its owner alone; a line that a kill cut short is ended."""
        file = open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        return file


def _vote(
    conversation: Conversation,
    choice: str,
    left: Message | None,
    right: Message | None,
    models: Sequence[str],
) -> Vote:
    if left is None or right is None or choice not in _WINNERS:
        raise ValueError("a vote has two answers, and is left, right or tie")
    named = [*models, "", ""]
    return Vote(
        **_asked(conversation),
        answer_a=left.text,
        answer_b=right.text,
        side_a=side(left, named[0]),
        side_b=side(right, named[1]),
        winner=_WINNERS[choice],
    )


def _thumb(conversation: Conversation, choice: str) -> Thumb:
    answer = conversation.messages[-1] if conversation.messages else None
    if answer is None or answer.role != "assistant" or choice not in ("up", "down"):
        raise ValueError("a thumb is on an answer, and is up or down")
    return Thumb(
        **_asked(conversation),
        answer=answer.text,
        side=side(answer),
        choice="up" if choice == "up" else "down",
    )


def side(answer: Message, model: str = "") -> str:
    """Who answered: the model, and the versions of the bundles that it used."""
    seen = answer.seen or {}
    bundles = (seen.get("llink") or {}).get("bundles") or {}
    used = ", ".join(
        f"{code} {bundle.get('version', '')}".strip() for code, bundle in sorted(bundles.items())
    )
    name = model or str(seen.get("model") or "unknown")
    return f"{name} ({used})" if used else name


def _asked(conversation: Conversation) -> dict[str, Any]:
    """The last question, taken apart, and what led to it."""
    asked = conversation.retried().messages
    if not asked:
        raise ValueError("nothing was asked yet")
    instruction, source = apart(asked[-1])
    codes = dict.fromkeys(str(span["language"]) for span in _foreign(asked[-1]))
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "instruction": instruction,
        "source": source,
        "languages": tuple(codes),
        "conversation": tuple({"role": one.role, "content": one.text} for one in asked),
    }


def apart(message: Message) -> tuple[str, str]:
    """(what was asked, the text it was asked about): the foreign stretches, from the first to the last."""
    foreign = _foreign(message)
    if not foreign:
        return message.text.strip(), ""
    start, end = min(span["start"] for span in foreign), max(span["end"] for span in foreign)
    around = f"{message.text[:start].strip()} {message.text[end:].strip()}".strip()
    return around, message.text[start:end].strip()


def _foreign(message: Message) -> list[dict[str, Any]]:
    return [span for span in message.spans if span.get("language") not in (None, DECODER_LANGUAGE.code)]
