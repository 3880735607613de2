"""One JSON object a line: ``foreign``, ``english`` and, if known, ``questions`` and ``source``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llink_ray.corpus.lines import lines
from llink_ray.corpus.pair import Pair, Question
from llink_ray.errors import LlinkError


def read_jsonl(file: Path) -> Iterator[Pair]:
    """Pairs of a JSON Lines file; other keys are ignored, a blank line is a pair of nothing.

    Raises:
        LlinkError: a line that is no JSON object, or whose fields are missing or no strings.
    """
    for number, text in lines(file):
        where = f"{file} line {number}"
        if not text.strip():
            yield Pair("", "", line=number)
            continue
        try:
            entry = json.loads(text)
        except json.JSONDecodeError as error:
            raise LlinkError(f"{where} is not JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError) as error:
            raise LlinkError(f"{where} is not JSON that can be read: {error}") from None
        foreign = _text(entry, "foreign", where)
        english = _text(entry, "english", where)
        source = "" if entry.get("source") is None else _text(entry, "source", where)
        yield Pair(foreign, english, _questions(entry, where), number, source)


def _questions(entry: dict[str, Any], where: str) -> tuple[Question, ...]:
    listed = entry.get("questions")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise LlinkError(f"{where}: 'questions' must be a list of objects, not {_kind(listed)}")
    found = []
    for i, question in enumerate(listed, 1):
        inside = f"{where}, question {i}"
        kind, instruction, answer = (
            _text(question, key, inside) for key in ("kind", "instruction", "answer")
        )
        if not (kind.strip() and instruction.strip() and answer.strip()):
            raise LlinkError(f"{inside}: 'kind', 'instruction' and 'answer' must not be empty")
        found.append(Question(kind, instruction, answer, _choices(question, answer, inside)))
    return tuple(found)


def _choices(question: dict[str, Any], answer: str, where: str) -> tuple[str, ...]:
    listed = question.get("choices")
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(one, str) and one.strip() for one in listed):
        raise LlinkError(f"{where}: 'choices' must be a list of strings that are not empty")
    if answer not in listed:
        raise LlinkError(f"{where}: the answer {answer!r} is none of its 'choices': put it among them")
    return tuple(listed)


def _text(entry: Any, key: str, where: str) -> str:
    if not isinstance(entry, dict):
        raise LlinkError(f"{where} must be a JSON object, not {_kind(entry)}")
    if key not in entry:
        keys = ", ".join(map(repr, list(entry)[:6])) or "no keys"
        raise LlinkError(f"{where} lacks {key!r}: found {keys}")
    if not isinstance(entry[key], str):
        raise LlinkError(f"{where}: {key!r} must be a string, not {_kind(entry[key])}")
    return str(entry[key])


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
