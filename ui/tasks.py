"""Tasks of the menu (chat, translate, summarise, ask about a text) and the text files that they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from llink_ray.text.segmentation import sentences
from ui.api_client import Completion

Task = Literal["chat", "translate", "summarise", "ask"]
CHOICES: tuple[tuple[str, Task], ...] = (
    ("Chat", "chat"),
    ("Translate", "translate"),
    ("Summarise", "summarise"),
    ("Ask about a text", "ask"),
)
"""Labels of the menu and their values."""
SUMMARISE = "Summarise this."
PLACEHOLDERS: dict[Task, str] = {
    "chat": "Write in any taught language …",
    "translate": "The text to translate into English …",
    "summarise": "The text to summarise …",
    "ask": "Your question about the text above, in English …",
}
"""Of the empty input."""
FILE_SUFFIXES = (".txt", ".md")
MAX_TRANSLATED_SENTENCES = 200
"""Some minutes of work on a small machine."""


class TaskError(ValueError):
    """A task that cannot be done as given; the text is shown on the page."""


@dataclass(frozen=True, slots=True)
class TaskPrompt:
    """What a task sends to the model."""

    text: str
    """The message as the conversation keeps it."""
    parts: tuple[str, ...] = ()
    """The same as messages that are answered one by one; empty where it is sent as a whole."""


def build_prompt(
    task: Task, message: str, passage: str, max_sentences: int | None, code: str | None
) -> TaskPrompt:
    """The message of a task.

    Args:
        task: what to do.
        message: the input field.
        passage: the text that ``ask`` asks about; other tasks ignore it.
        max_sentences: most foreign sentences in one message; None leaves the check to the API.
        code: language of the text; None where it is unknown.

    Raises:
        TaskError: nothing to work on, or too much at once.
    """
    message, passage = message.strip(), passage.strip()
    if task == "chat":
        return TaskPrompt(message)
    if task == "ask":
        if not passage:
            raise TaskError("there is no text to ask about: paste one above the question, or open a file")
        if not message:
            raise TaskError("there is no question: write one, for example “Who?” or “How many?”")
        _check_length(passage, max_sentences, code)
        return TaskPrompt(f"{message}\n{passage}")
    if not message:
        raise TaskError("there is no text: write or paste one, or open a file")
    if task == "summarise":
        _check_length(message, max_sentences, code)
        return TaskPrompt(f"{SUMMARISE}\n{message}")
    parts = split_sentences(message, code)
    if len(parts) > MAX_TRANSLATED_SENTENCES:
        raise TaskError(
            f"the text has {len(parts)} sentences, and up to {MAX_TRANSLATED_SENTENCES} are translated in "
            "one go: give it in parts"
        )
    one_by_one = (f"{TRANSLATE_INSTRUCTION}\n{sentence}" for sentence in parts)
    return TaskPrompt(f"{TRANSLATE_INSTRUCTION}\n{message}", tuple(one_by_one) if len(parts) > 1 else ())


def translated_text(message: str) -> str | None:
    """The text of a translation request; None of any other message."""
    instruction, _, text = message.partition("\n")
    return text if instruction == TRANSLATE_INSTRUCTION and text.strip() else None


def split_sentences(text: str, code: str | None) -> list[str]:
    """Sentences line by line, so that headings and verses stay apart."""
    language = language_of(code) or DECODER_LANGUAGE
    return [sentence for line in text.splitlines() if line.strip() for sentence in sentences(line, language)]


def _check_length(text: str, max_sentences: int | None, code: str | None) -> None:
    count = len(split_sentences(text, code))
    if max_sentences is not None and count > max_sentences:
        raise TaskError(
            f"the text has {count} sentences, and the model reads {max_sentences} at once: shorten it, or "
            "choose Translate, which goes sentence by sentence"
        )


def read_upload(path: str | Path, max_bytes: int) -> str:
    """The text of an uploaded file, which is deleted.

    Raises:
        TaskError: not a text file in UTF-8, empty, or larger than ``max_bytes``.
    """
    path = Path(path)
    try:
        return _read_text(path, max_bytes)
    finally:
        path.unlink(missing_ok=True)


def _read_text(path: Path, max_bytes: int) -> str:
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise TaskError(
            f"“{path.name}” is not a text file: open one that ends in {' or '.join(FILE_SUFFIXES)}"
        )
    size = path.stat().st_size
    if size > max_bytes:
        raise TaskError(
            f"“{path.name}” has {_size(size)}, and up to {_size(max_bytes)} are read: cut it into parts"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(
            f"“{path.name}” is not UTF-8 (byte {error.start}): save it as UTF-8 and open it again"
        ) from None
    if "\0" in text:
        raise TaskError(f"“{path.name}” holds bytes that are no text: open a text file")
    if not text.strip():
        raise TaskError(f"“{path.name}” is empty: open another")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _size(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{max(1, round(size / 1000))} kB"


def merge(completions: Sequence[Completion]) -> Completion:
    """Several answers as one: texts line by line, counts added up."""
    replies = [completion.llink for completion in completions]
    counts = ("sentences", "slots", "slot_cache_hits", "prompt_tokens", "prompt_tokens_raw")
    llink: dict[str, Any] = {name: sum(int(reply.get(name) or 0) for reply in replies) for name in counts}
    llink["bundles"] = {code: b for reply in replies for code, b in (reply.get("bundles") or {}).items()}
    notices = [notice for reply in replies for notice in reply.get("notices") or ()]
    llink["notices"] = list({str(notice.get("code")): notice for notice in reversed(notices)}.values())
    tokens = [int(completion.usage.get("completion_tokens") or 0) for completion in completions]
    speeds = [completion.tokens_per_second for completion in completions]
    seconds = sum(count / speed for count, speed in zip(tokens, speeds, strict=True) if speed)
    return Completion(
        text="\n".join(completion.text for completion in completions),
        finish_reason="stop",
        usage={"completion_tokens": sum(tokens)},
        llink=llink,
        first_token=completions[0].first_token,
        tokens_per_second=sum(tokens) / seconds if seconds else 0.0,
    )
