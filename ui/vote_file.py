"""The operator's file of votes, one JSON object per line, which ``evaluation.judge.votes`` reads."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.votes import Thumb, Vote
from llink_ray.text.languages import DECODER_LANGUAGE
from ui.conversation import Conversation, Message

_WINNERS: dict[str, Literal["a", "b", "tie"]] = {"left": "a", "right": "b", "tie": "tie"}


class VoteFile:
    """Appends votes; without a path it does nothing."""

    def __init__(self, path: str | Path | None) -> None:
        """Creates the file where it is missing.

        Raises:
            LlinkError: it cannot be written.
        """
        self.path = Path(path) if path is not None else None
        self._lock = threading.Lock()
        if self.path is None:
            return
        try:
            _open_for_append(self.path).close()
        except OSError as error:
            raise LlinkError(
                f"votes cannot be kept in {self.path} ({error.strerror}): name another file with --votes"
            ) from None

    def append(self, line: Vote | Thumb) -> None:
        """Append one line.

        Raises:
            JobFailed: the file cannot be written any more.
        """
        if self.path is None:
            return
        data = json.dumps(line.model_dump(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self._lock, _open_for_append(self.path) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JobFailed(
                f"the vote could not be kept ({error.strerror}): tell whoever runs this chat"
            ) from None


def _open_for_append(path: Path) -> BinaryIO:
    """Readable by its owner alone; an unfinished last line is ended."""
    file = open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file


def make_vote(
    conversation: Conversation, choice: str, left: Message, right: Message, models: Sequence[str] = ()
) -> Vote:
    """A choice (``left``, ``right``, ``tie``) between two answers to the last question.

    Raises:
        ValueError: there is no question or no such choice.
    """
    if choice not in _WINNERS:
        raise ValueError("a vote is left, right or tie")
    left_model, right_model = [*models, "", ""][:2]
    return Vote(
        **_question_fields(conversation),
        answer_a=left.text,
        answer_b=right.text,
        side_a=_system(left, left_model),
        side_b=_system(right, right_model),
        winner=_WINNERS[choice],
    )


def make_thumb(conversation: Conversation, choice: str) -> Thumb:
    """A thumb (``up``, ``down``) on the last answer.

    Raises:
        ValueError: there is no answer or no such choice.
    """
    answer = conversation.messages[-1] if conversation.messages else None
    if answer is None or answer.role != "assistant" or choice not in ("up", "down"):
        raise ValueError("a thumb is on an answer, and is up or down")
    fields = _question_fields(conversation)
    return Thumb(
        **fields, answer=answer.text, side=_system(answer), choice="up" if choice == "up" else "down"
    )


def _system(answer: Message, model: str = "") -> str:
    """The model that answered, with the versions of its bundles: ``llink (bo v0001)``."""
    metadata = answer.metadata or {}
    bundles = (metadata.get("llink") or {}).get("bundles") or {}
    versions = ", ".join(f"{code} {b.get('version', '')}".strip() for code, b in sorted(bundles.items()))
    name = model or str(metadata.get("model") or "unknown")
    return f"{name} ({versions})" if versions else name


def _question_fields(conversation: Conversation) -> dict[str, Any]:
    """The last question, and the messages up to it."""
    messages = conversation.without_answer().messages
    if not messages:
        raise ValueError("nothing was asked yet")
    instruction, source = split_instruction(messages[-1])
    codes = dict.fromkeys(str(span["language"]) for span in _foreign_spans(messages[-1]))
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "instruction": instruction,
        "source": source,
        "languages": tuple(codes),
        "conversation": tuple({"role": m.role, "content": m.text} for m in messages),
    }


def split_instruction(message: Message) -> tuple[str, str]:
    """(instruction, foreign text): the text reaches from the first foreign span to the last."""
    spans = _foreign_spans(message)
    if not spans:
        return message.text.strip(), ""
    start, end = min(span["start"] for span in spans), max(span["end"] for span in spans)
    instruction = f"{message.text[:start].strip()} {message.text[end:].strip()}".strip()
    return instruction, message.text[start:end].strip()


def _foreign_spans(message: Message) -> list[dict[str, Any]]:
    return [span for span in message.spans if span.get("language") not in (None, DECODER_LANGUAGE.code)]
