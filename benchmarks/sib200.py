"""Passages with a topic as a corpus whose question has choices, from a SIB-200 file.

    python benchmarks/sib200.py --rows sib200/ne.jsonl --split test --output ne-topics.jsonl
    python jobs/evaluate.py --bundle runs/registry/ne/v0001 --corpus ne-topics.jsonl

A row is a JSON object with ``id``, ``split``, ``passage_en``, ``passage_foreign``, the ``answers`` to choose
among and ``correct``, the place of the right one, from 0; or its topic as ``label`` instead of these two.
Each becomes a pair with one question of kind ``topic`` that carries its choices, so that evaluation can weigh
them; ``source`` says the split. How many of which topic goes to stdout as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llink_ray.corpus.lines import lines
from llink_ray.errors import LlinkError

KIND, SOURCE = "topic", "sib200"
QUESTION = "What is the topic of this text?"
"""The choices are not named in it: their likelihoods are compared."""
SPLITS = ("train", "dev", "test")


def rows(file: Path, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one split, each with ``label`` and ``choices``.

    Raises:
        LlinkError: no such file, or a row that is not as it should be, with file and line.
    """
    if not file.is_file():
        raise LlinkError(f"{file} does not exist: give a .jsonl file of SIB-200 rows")
    found = []
    for number, text in lines(file):
        if not text.strip():
            continue
        where = f"{file} line {number}"
        try:
            row = json.loads(text)
        except ValueError as error:
            raise LlinkError(f"{where} is not JSON: {error}") from None
        found.append((where, row, _label(row, where)))
    topics = sorted({label for _, _, label in found})
    for where, row, label in found:
        if row["split"] == split:
            choices = row.get("answers") or topics
            if label not in choices:
                raise LlinkError(f"{where}: the topic {label!r} is none of {choices}")
            yield {**row, "label": label, "choices": list(choices)}


def _label(row: object, where: str) -> str:
    wanted = ("id", "split", "passage_en", "passage_foreign")
    if not isinstance(row, dict) or (lacking := [key for key in wanted if key not in row]):
        told = "is no object" if not isinstance(row, dict) else f"lacks {', '.join(map(repr, lacking))}"
        raise LlinkError(f"{where} {told}: wanted are {', '.join(wanted)} and the topic")
    if isinstance(row.get("label"), str):
        return str(row["label"])
    answers, correct = row.get("answers"), row.get("correct")
    if not isinstance(answers, list) or not isinstance(correct, int) or correct not in range(len(answers)):
        raise LlinkError(f"{where} has neither 'label' nor 'answers' with 'correct', a place in them from 0")
    return str(answers[correct])


def entries(found: Iterable[dict[str, Any]], question: str = QUESTION) -> Iterator[dict[str, Any]]:
    """Rows as ``llink_ray.corpus`` reads them; ``{choices}`` in ``question`` becomes their list."""
    for row in found:
        asked = {
            "kind": KIND,
            "instruction": question.replace("{choices}", ", ".join(row["choices"])),
            "answer": row["label"],
            "choices": row["choices"],
        }
        yield {
            "foreign": row["passage_foreign"],
            "english": row["passage_en"],
            "source": f"{SOURCE}_{row['split']}",
            "questions": [asked],
        }


def write(file: Path, found: Iterable[dict[str, Any]]) -> int:
    """Write a corpus; how many lines."""
    written = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in found]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(written), encoding="utf-8")
    return len(written)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, required=True, help="SIB-200 rows of one language, .jsonl")
    parser.add_argument("--split", choices=SPLITS, default="test", help="(default: test)")
    parser.add_argument(
        "--question", default=QUESTION, help=f"(default: {QUESTION!r}); {{choices}} is a list"
    )
    parser.add_argument("--output", type=Path, required=True, help="corpus to write, .jsonl")
    asked = parser.parse_args(arguments)
    try:
        found = list(rows(asked.rows, asked.split))
        count = write(asked.output, entries(found, asked.question))
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {asked.output} cannot be written ({error.strerror}): check the path", file=sys.stderr)
        return 2
    topics = Counter(row["label"] for row in found)
    told = {"benchmark": "sib200", "corpus": str(asked.output), "pairs": count}
    print(json.dumps({**told, "topics": dict(topics.most_common())}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
