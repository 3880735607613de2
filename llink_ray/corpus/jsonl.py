"""JSON Lines: ``foreign``, ``english`` and, if known, ``questions`` and ``source``.

Also Hugging Face's form of translation data: ``{"translation": {"en": "…", "km": "…"}}``, by language codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from llink_ray.corpus.lines import lines
from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.tsv import find_columns
from llink_ray.errors import LlinkError

_TRANSLATION = "translation"


def read_jsonl(file: Path) -> Iterator[Pair]:
    """Pairs of a JSON Lines file; other keys are ignored, a blank line gives an empty pair.

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
        if isinstance(entry, dict) and _TRANSLATION in entry and "foreign" not in entry:
            foreign, english = _translation(entry[_TRANSLATION], where)
        else:
            foreign, english = _text(entry, "foreign", where), _text(entry, "english", where)
        source = "" if entry.get("source") is None else _text(entry, "source", where)
        yield Pair(foreign, english, _questions(entry, where), number, source)


def _translation(texts: Any, where: str) -> tuple[str, str]:
    """The foreign and the English text of a mapping by language."""
    location = f"{where}, {_TRANSLATION!r}"
    if not isinstance(texts, dict):
        raise LlinkError(f"{location}, must be an object like {{'en': …, 'km': …}}, not {_kind(texts)}")
    try:
        foreign, english = _language_keys(tuple(texts))
    except LlinkError:
        keys = ", ".join(map(repr, list(texts)[:6])) or "no keys"
        raise LlinkError(
            f"{location}, has {keys}: wanted are 'en' and the code of one language in docs/languages.md"
        ) from None
    return _text(texts, foreign, location), _text(texts, english, location)


@lru_cache(maxsize=64)
def _language_keys(names: tuple[str, ...]) -> tuple[str, str]:
    columns = find_columns("", list(names))
    if columns is None:
        raise LlinkError("no language that is known")
    return names[columns[0]], names[columns[1]]


def _questions(entry: dict[str, Any], where: str) -> tuple[Question, ...]:
    entries = entry.get("questions")
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise LlinkError(f"{where}: 'questions' must be a list of objects, not {_kind(entries)}")
    questions = []
    for i, question in enumerate(entries, 1):
        location = f"{where}, question {i}"
        kind, instruction, answer = (
            _text(question, key, location) for key in ("kind", "instruction", "answer")
        )
        if not (kind.strip() and instruction.strip() and answer.strip()):
            raise LlinkError(f"{location}: 'kind', 'instruction' and 'answer' must not be empty")
        questions.append(Question(kind, instruction, answer, _choices(question, answer, location)))
    return tuple(questions)


def _choices(question: dict[str, Any], answer: str, where: str) -> tuple[str, ...]:
    entries = question.get("choices")
    if entries is None:
        return ()
    are_texts = isinstance(entries, list) and all(isinstance(text, str) and text.strip() for text in entries)
    if not are_texts:
        raise LlinkError(f"{where}: 'choices' must be a list of strings that are not empty")
    if answer not in entries:
        raise LlinkError(f"{where}: the answer {answer!r} is none of its 'choices': put it among them")
    return tuple(entries)


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
