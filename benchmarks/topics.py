"""A corpus with a question of known answer, from passages that are labelled with their topic.

    python benchmarks/topics.py --passages topics/km.jsonl --parallel parallel/km.tsv --output km-topics.jsonl
    python jobs/train.py --lang=km --corpus km-topics.jsonl --set stage_b.steps=150

``--passages`` is a JSON Lines file with, in each object, the text, its English, a list of the answers to
choose among, and the place of the right one in it, from 0; ``--foreign``, ``--english``, ``--answers`` and
``--correct`` say by what names. Every passage becomes a pair with one question of kind ``topic``. Pairs of
``--parallel`` whose text is none of the passages follow without questions, for Stage A and translation. What
the corpus is, and the share of the commonest topic (what always giving that one answer would reach), goes to
stdout as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llink_ray.corpus.lines import lines
from llink_ray.corpus.read import read
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.errors import LlinkError

KIND = "topic"
QUESTION = "What is this about? Choose among: {choices}."


def passages(file: Path, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Pairs with their question, as ``llink_ray.corpus`` reads them.

    Raises:
        LlinkError: a line that is not as ``names`` say, with the file and the line.
    """
    for number, text in lines(file):
        if not text.strip():
            continue
        where = f"{file} line {number}"
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise LlinkError(f"{where} is not JSON: {error}") from None
        if not isinstance(entry, dict) or (lacking := [name for name in names.values() if name not in entry]):
            told = "is no object" if not isinstance(entry, dict) else f"lacks {', '.join(map(repr, lacking))}"
            raise LlinkError(f"{where} {told}: say what its keys are called, see --help")
        answers, correct = entry[names["answers"]], entry[names["correct"]]
        if not isinstance(answers, list) or correct not in range(len(answers)):
            raise LlinkError(
                f"{where}: {names['correct']!r} is {correct!r}, no place in the list {names['answers']!r}, "
                "counted from 0"
            )
        asked = QUESTION.format(choices=", ".join(map(str, answers)))
        question = {"kind": KIND, "instruction": asked, "answer": str(answers[correct])}
        sides = {side: entry[names[side]] for side in ("foreign", "english")}
        yield {**sides, "questions": [question]}


def others(file: str, known: set[str]) -> Iterator[dict[str, Any]]:
    """Pairs of parallel text, those apart of which either side is ``known``."""
    for pair in read(file):
        if pair.foreign.strip() and known.isdisjoint(map(sentence_key, (pair.foreign, pair.english))):
            yield {"foreign": pair.foreign, "english": pair.english}


def write(asked: argparse.Namespace) -> dict[str, Any]:
    """Write the corpus; what it is."""
    names = {key: getattr(asked, key) for key in ("foreign", "english", "answers", "correct")}
    if not asked.passages.is_file():
        raise LlinkError(f"{asked.passages} does not exist: give a .jsonl file of labelled passages")
    found = list(passages(asked.passages, names))
    if not found:
        raise LlinkError(f"{asked.passages} holds no passages")
    known = {sentence_key(entry[side]) for entry in found for side in ("foreign", "english")}
    more = list(others(asked.parallel, known)) if asked.parallel else []
    with asked.output.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in [*found, *more])
    topics = Counter(entry["questions"][0]["answer"] for entry in found)
    commonest, count = topics.most_common(1)[0]
    return {
        "benchmark": "topics",
        "corpus": str(asked.output),
        "passages": len(found),
        "pairs": len(found) + len(more),
        "topics": dict(topics.most_common()),
        "commonest": commonest,
        "commonest_share": count / len(found),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=Path, required=True, help="labelled passages, .jsonl")
    parser.add_argument("--parallel", help="more text of the language with its English, .tsv or .jsonl")
    parser.add_argument("--output", type=Path, required=True, help="corpus to write, .jsonl")
    for name, default in (
        ("foreign", "passage_foreign"),
        ("english", "passage_en"),
        ("answers", "answers"),
        ("correct", "correct"),
    ):
        parser.add_argument(f"--{name}", default=default, metavar="KEY", help=f"(default: {default})")
    asked = parser.parse_args(arguments)
    try:
        document = write(asked)
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {asked.output} cannot be written ({error.strerror}): check the path", file=sys.stderr)
        return 2
    print(json.dumps(document, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
