"""How often the ends of sentences are found in real text, per language, in both of its sides.

    python benchmarks/sentences.py --data "$LLINK_DATA"

Reads ``parallel/<code>.tsv`` (columns source, en, foreign) and joins five rows at a time into a passage with
a blank between them: its ends are known; the last is not counted. Rows are chosen by their other side, which
must have one sentence: no mark within it that a blank follows, whatever the mark may stand for. Of these:

- ``marked``: this side ends with a mark and has none inside that is hardly ever anything but an end: ``།``,
  ``።``, ``?``, or a full stop between three small letters and a capital, or behind five letters where there
  are no capitals. What is left inside (full stops elsewhere, ellipses, quotations, numbers) ends nothing, so
  every end found there is an error;
- ``all marked``: such marks may stand inside. Translators often make two sentences of one, and those ends
  count as errors too, so precision is a lower bound;
- ``no mark``: this side ends without one.

``kept`` is the share of the marked passages that a message takes apart into as many parts as they have
sentences: names in Latin letters inside of a foreign sentence cut nothing.

Word lists and verse, whose rows are no sentences, are left out. Prints a Markdown table on stderr and one
JSON line on stdout.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import regex
from real_corpora import data_folder

from llink_ray.prompts.message import split_message
from llink_ray.text.languages import DECODER_LANGUAGE, Language, find
from llink_ray.text.segmentation import sentence_ends

LANGUAGES = "am bn bo dz hy ka km lo my ne si ti ug"
LEFT_OUT = ("gatitos", "bible", "storybooks", "udhr", "mgsm")
"""Sources whose rows are words, verses or several sentences."""
TOGETHER = 5
CLOSING = r"[\s\p{Pe}\p{Pf}\p{Cf}\"'“]*"
SETS = ("marked", "all marked", "no mark")


@dataclass(frozen=True, slots=True)
class Found:
    """Of the ends of one set of passages."""

    rows: int
    precision: float
    recall: float


def rows(file: Path) -> list[tuple[str, str]]:
    """(English, foreign), each once."""
    with file.open(encoding="utf-8", newline="") as lines:
        read = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        kept = (row for row in read if not row["source"].startswith(LEFT_OUT))
        return list(dict.fromkeys((bare(row["en"]), bare(row["foreign"])) for row in kept))


def bare(text: str) -> str:
    """Without blanks, visible or not, around it."""
    return str(regex.sub(r"^[\s\p{Cf}]+|[\s\p{Cf}]+$", "", text))


def sure_marks(language: Language) -> str:
    """Marks of the language that are hardly ever anything but an end, as a regular expression.

    Tibetan writes none behind the letter ga, so a blank there is one.
    """
    own = [mark for mark in language.sentence_marks if not mark.isascii() and mark != "…"]
    typed = "".join(rf"|{regex.escape(mark)}" for mark in language.typed_marks if not mark.isascii())
    letters = "".join({word[-1] for word in language.sentence_words})
    left_out = rf"|(?<=[{letters}])(?=\s)" if letters else ""
    return f"(?:[?!{''.join(map(regex.escape, own))}]{typed}{left_out})"


def stops(language: Language) -> str:
    """Full stops, ellipses and what else the language ends sentences with among other uses."""
    return f"[.…{''.join(mark for mark in language.sentence_marks if mark in ':;')}]"


def chosen(sides: Iterable[tuple[str, str]], own: Language, other: Language, wanted: str) -> list[str]:
    """First sides of the pairs that belong to a set."""
    ended = regex.compile(rf"(?:{stops(own)}|{sure_marks(own)}){CLOSING}$")
    small = rf"(?<=\p{{Ll}}{{3}}){stops(own)}{CLOSING}\s[\p{{P}}\s]*\p{{Lu}}"
    word = r"[\p{Lo}\p{M}\p{Script=Georgian}]{5}"
    uncased = rf"(?<={word}){stops(own)}{CLOSING}\s[\p{{P}}\s]*[\p{{L}}\p{{N}}]"
    inner = regex.compile(rf"{sure_marks(own)}{CLOSING}[\p{{L}}\p{{N}}]|{small}|{uncased}")
    several = regex.compile(rf"(?:{stops(other)}|{sure_marks(other)}){CLOSING}\s[\p{{P}}\s]*[\p{{L}}\p{{N}}]")
    found = []
    for text, opposite in sides:
        if not text or several.search(opposite) or bool(ended.search(text)) is (wanted == "no mark"):
            continue
        if wanted == "all marked" or not inner.search(text):
            found.append(text)
    return found


def measured(texts: list[str], language: Language, cut: Callable[[str, Language], list[int]]) -> Found:
    """Precision and recall over passages of these."""
    right = given = known = 0
    for start in range(0, len(texts) - TOGETHER + 1, TOGETHER):
        passage, ends = "", set[int]()
        for text in texts[start : start + TOGETHER]:
            passage += f" {text}" if passage else text
            ends.add(len(passage))
        told = {len(regex.sub(r"[\s\p{Cf}]+$", "", passage[:end])) for end in cut(passage, language)}
        right += len(ends & told) - 1
        given += len(told) - 1
        known += len(ends) - 1
    return Found(len(texts), right / given if given else 1.0, right / known if known else 1.0)


def kept(texts: list[str], language: Language) -> float:
    """Share of the passages that messages take apart into their sentences, names in Latin letters or not."""
    passages = [" ".join(texts[at : at + TOGETHER]) for at in range(0, len(texts) - TOGETHER + 1, TOGETHER)]
    right = sum(
        len(split_message(one, language, len(one))) == len(sentence_ends(one, language)) for one in passages
    )
    return right / len(passages) if passages else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder with parallel/<code>.tsv; LLINK_DATA where not given")
    parser.add_argument("--languages", default=LANGUAGES, help="codes, by blanks or commas")
    asked = parser.parse_args()
    folder, table = data_folder(asked.data), dict[str, dict[str, dict[str, float]]]()
    titles = " | ".join(f"{name}: rows | P | R" for name in SETS)
    print(f"| | {titles} | kept |", "|---" * (3 * len(SETS) + 2) + "|", sep="\n", file=sys.stderr)
    for code in asked.languages.replace(",", " ").split():
        pairs, language = rows(folder / "parallel" / f"{code}.tsv"), find(code)
        turned = [(foreign, english) for english, foreign in pairs]
        for name, sides, own, other in (
            (code, turned, language, DECODER_LANGUAGE),
            (f"en ({code})", pairs, DECODER_LANGUAGE, language),
        ):
            cells = {}
            for wanted in SETS:
                found = measured(chosen(sides, own, other, wanted), own, sentence_ends)
                cells[wanted] = {"rows": found.rows, "precision": found.precision, "recall": found.recall}
            whole = kept(chosen(sides, own, other, "marked"), own) if own is language else 1.0
            table[name] = {**cells, "kept": {"passages": whole}}
            shown = " | ".join(
                f"{cell['rows']} | {cell['precision']:.3f} | {cell['recall']:.3f}" for cell in cells.values()
            )
            print(f"| {name} | {shown} | {whole:.3f} |", file=sys.stderr, flush=True)
    print(json.dumps({"sentences": table}))


if __name__ == "__main__":
    main()
