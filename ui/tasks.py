"""Tasks: chat, translate, summarise, ask about a text; texts from files; long ones sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llink_ray.prompts.instructions import TRANSLATE
from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from llink_ray.text.segmentation import sentences
from ui.api import Done

Task = Literal["chat", "translate", "summarise", "ask"]
CHOICES: tuple[tuple[str, Task], ...] = (
    ("Chat", "chat"),
    ("Translate", "translate"),
    ("Summarise", "summarise"),
    ("Ask about a text", "ask"),
)
"""What the menu shows, and what it means."""
SUMMARISE = "Summarise this."
HINTS: dict[Task, str] = {
    "chat": "Write in any taught language …",
    "translate": "The text to translate into English …",
    "summarise": "The text to summarise …",
    "ask": "Your question about the text above, in English …",
}
"""What the writing field says while it is empty."""
FILES = (".txt", ".md")
MOST_SENTENCES = 200
"""Of a text that is translated sentence by sentence: some minutes on a small machine."""


class TaskError(ValueError):
    """A task that cannot be done as it was given; its text is for the page."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What goes to the model, in one message."""

    text: str
    """As the conversation keeps it."""
    pieces: tuple[str, ...] = ()
    """The same as several messages, each answered for itself; none where it is one."""


def ask(task: Task, written: str, passage: str, limit: int | None, code: str | None) -> Asked:
    """The message of a task.

    Args:
        task: what to do.
        written: what stands in the writing field.
        passage: the text that ``ask`` asks about; the other tasks do not look at it.
        limit: sentences that one message may hold; None leaves it to the API.
        code: language that the text is read as; None where nobody knows.

    Raises:
        TaskError: nothing to work on, or more than is worked on at once.
    """
    written, passage = written.strip(), passage.strip()
    if task == "chat":
        return Asked(written)
    if task == "ask":
        if not passage:
            raise TaskError("there is no text to ask about: paste one above the question, or open a file")
        if not written:
            raise TaskError("there is no question: write one, for example “Who?” or “How many?”")
        _within(passage, limit, code)
        return Asked(f"{written}\n{passage}")
    if not written:
        raise TaskError("there is no text: write or paste one, or open a file")
    if task == "summarise":
        _within(written, limit, code)
        return Asked(f"{SUMMARISE}\n{written}")
    found = split(written, code)
    if len(found) > MOST_SENTENCES:
        raise TaskError(
            f"the text has {len(found)} sentences, and up to {MOST_SENTENCES} are translated in one go: "
            "give it in parts"
        )
    whole = f"{TRANSLATE[0]}\n{written}"
    if len(found) == 1:
        return Asked(whole)
    return Asked(whole, tuple(f"{TRANSLATE[0]}\n{one}" for one in found))


def translated(message: str) -> str | None:
    """The text of a message that asks for its translation; None of another."""
    head, _, text = message.partition("\n")
    return text if head == TRANSLATE[0] and text.strip() else None


def split(text: str, code: str | None) -> list[str]:
    """Sentences line by line, so that headings and verses stay apart."""
    language = language_of(code) or DECODER_LANGUAGE
    return [one for line in text.splitlines() if line.strip() for one in sentences(line, language)]


def _within(text: str, limit: int | None, code: str | None) -> None:
    count = len(split(text, code))
    if limit is not None and count > limit:
        raise TaskError(
            f"the text has {count} sentences, and the model reads {limit} at once: shorten it, or choose "
            "Translate, which goes sentence by sentence"
        )


def read_file(path: str | Path, most: int) -> str:
    """The text of a file that somebody opened.

    Raises:
        TaskError: not a text file in UTF-8, empty, or larger than ``most`` bytes.
    """
    path = Path(path)
    if path.suffix.lower() not in FILES:
        raise TaskError(f"“{path.name}” is not a text file: open one that ends in {' or '.join(FILES)}")
    size = path.stat().st_size
    if size > most:
        raise TaskError(
            f"“{path.name}” has {_size(size)}, and up to {_size(most)} are read: cut it into parts"
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


def take_file(path: str | Path, most: int) -> str:
    """The same, of an upload, which does not stay on this machine's disk.

    Raises:
        TaskError: as ``read_file``.
    """
    try:
        return read_file(path, most)
    finally:
        Path(path).unlink(missing_ok=True)


def together(parts: Sequence[Done]) -> Done:
    """What several answers were as one: texts line by line, tokens added up."""
    llink: dict[str, Any] = {}
    for name in ("sentences", "slots", "slot_cache_hits", "prompt_tokens", "prompt_tokens_raw"):
        llink[name] = sum(int(part.llink.get(name) or 0) for part in parts)
    llink["bundles"] = {
        code: one for part in parts for code, one in (part.llink.get("bundles") or {}).items()
    }
    told = [one for part in parts for one in part.llink.get("notices") or ()]
    llink["notices"] = list({str(one.get("code")): one for one in reversed(told)}.values())
    made = [int(part.usage.get("completion_tokens") or 0) for part in parts]
    seconds = sum(
        count / part.tokens_per_second
        for count, part in zip(made, parts, strict=True)
        if part.tokens_per_second
    )
    return Done(
        text="\n".join(part.text for part in parts),
        finish_reason="stop",
        usage={"completion_tokens": sum(made)},
        llink=llink,
        first_token=parts[0].first_token,
        tokens_per_second=sum(made) / seconds if seconds else 0.0,
    )
