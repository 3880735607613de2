"""From settings to clean pairs in splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llink_ray.corpus.clean import ZAWGYI, Cleaned, Dropped, clean, describe
from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.read import read
from llink_ray.corpus.split import SPLITS, Splits, split
from llink_ray.corpus.tsv import WRONG_COLUMN_COUNT
from llink_ray.errors import LlinkError
from llink_ray.progress import track
from llink_ray.settings import CorpusSettings

if TYPE_CHECKING:
    from llink_ray.text.languages import Language


MAX_SOURCES_SHOWN = 40
"""Sources listed by name; some files name one for every line."""
CROSSING = "shares a sentence with a held-out source"
"""Reason to drop a pair, counted with those of :mod:`llink_ray.corpus.clean`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus ready to train on, with the counts of what was dropped."""

    splits: Splits
    kept: int
    """Pairs in the four splits together; with the dropped ones, the pairs read."""
    dropped: dict[str, Dropped]
    """By reason."""
    corpus_hash: str
    """SHA-256 (hex) over the kept pairs with their questions, whatever their order."""

    @property
    def dropped_count(self) -> int:
        """Pairs dropped for any reason."""
        return sum(entry.count for entry in self.dropped.values())

    def account(self) -> dict[str, Any]:
        """Counts: kept, dropped by reason, by split, and by source where the corpus names sources."""
        splits = {name: getattr(self.splits, name) for name in SPLITS}
        by_source: dict[str, dict[str, int]] = {}
        for name, pairs in splits.items():
            for pair in pairs:
                by_source.setdefault(pair.source, dict.fromkeys(SPLITS, 0))[name] += 1
        account: dict[str, Any] = {
            "kept": self.kept,
            "dropped": self.dropped_count,
            "reasons": {
                reason: {"count": d.count, "first_lines": list(d.first_lines)}
                for reason, d in self.dropped.items()
            },
            **{name: len(pairs) for name, pairs in splits.items()},
        }
        return account if by_source.keys() <= {""} else account | {"sources": _largest_sources(by_source)}


def _largest_sources(by_source: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The largest sources by name; all others together as ``…``."""
    largest = sorted(by_source, key=lambda name: -sum(by_source[name].values()))
    shown = {name: by_source[name] for name in sorted(largest[:MAX_SOURCES_SHOWN])}
    others = [by_source[name] for name in largest[MAX_SOURCES_SHOWN:]]
    if others:
        shown["…"] = {split: sum(counts[split] for counts in others) for split in SPLITS}
    return shown


def prepare(language: Language, settings: CorpusSettings, seed: int) -> Prepared:
    """Read or generate, clean and split the parallel text of ``language``.

    ``seed`` is the phrasebook's; a file is read whole and split by hash alone.

    Raises:
        LlinkError: the corpus cannot be read, or too little of it is usable.
    """
    source: Iterable[Pair]
    if settings.path is None:
        # Imported here, since the phrasebook imports this package's Pair.
        from llink_ray.corpus import phrasebook

        name = f"the embedded {language.name} phrasebook"
        source = phrasebook.pairs(language.code, settings.pairs, seed=seed)
    else:
        name = f"corpus {settings.path}"
        source = read(settings.path)
    cleaned = clean(source, language, settings)
    if not cleaned.kept:
        raise LlinkError(_nothing_left_message(name, cleaned, language))
    _check_sources(name, cleaned.kept, settings.held_out_sources)
    try:
        with track(f"{len(cleaned.kept):,} pairs: held-out ones are set apart"):
            splits = split(
                cleaned.kept, settings.test_fraction, settings.validation_fraction, settings.held_out_sources
            )
    except LlinkError as error:
        lost = f" (dropped before: {describe(cleaned.dropped)})" if cleaned.dropped else ""
        raise LlinkError(f"{name}: {error}{lost}") from None
    dropped, kept = cleaned.dropped, cleaned.kept
    if splits.left_out:
        dropped[CROSSING] = Dropped()
        for pair in sorted(splits.left_out, key=lambda pair: pair.line):
            dropped[CROSSING].add(pair.line)
        kept = [pair for name in SPLITS for pair in getattr(splits, name)]
    return Prepared(splits, len(kept), dropped, corpus_hash(kept))


def _check_sources(name: str, pairs: Iterable[Pair], held_out: Iterable[str]) -> None:
    sources = {pair.source for pair in pairs}
    for source in held_out:
        if source not in sources:
            known = sorted(sources - {""})
            listed = ", ".join(map(repr, known[:MAX_SOURCES_SHOWN])) + " …" * (len(known) > MAX_SOURCES_SHOWN)
            advice = f"name one of {listed}" if known else "none of its pairs names a source"
            raise LlinkError(f"{name} has no source {source!r} (corpus.held_out_sources): {advice}")


def corpus_hash(pairs: Iterable[Pair]) -> str:
    """SHA-256 (hex) of pairs and questions; neither order nor line numbers nor sources count."""
    rows = sorted(
        json.dumps(
            [pair.foreign, pair.english, [_question_fields(question) for question in pair.questions]],
            ensure_ascii=False,
        )
        for pair in pairs
    )
    digest = hashlib.sha256()
    for i, row in enumerate(rows):  # one by one: joined, they would take twice the corpus's memory
        digest.update(f"\n{row}".encode() if i else row.encode())
    return digest.hexdigest()


def _question_fields(question: Question) -> list[str | list[str]]:
    """The hashed fields; choices only where there are any."""
    fields: list[str | list[str]] = [question.kind, question.instruction, question.answer]
    return [*fields, list(question.choices)] if question.choices else fields


def _nothing_left_message(name: str, cleaned: Cleaned, language: Language) -> str:
    total = sum(entry.count for entry in cleaned.dropped.values())
    commonest = max(cleaned.dropped, key=lambda reason: cleaned.dropped[reason].count)
    check = f"check that the foreign side is {language.name}"
    advice = {
        "sides swapped": "swap the two columns",
        WRONG_COLUMN_COUNT: "put exactly one tab between two columns, in the header as in the lines",
        "wrong script": check,
        ZAWGYI: "convert it to Unicode with corpus.zawgyi=convert",
        "wrong language": f"{check}, or set corpus.detect_language=false",
    }.get(commonest, "put these lines right, or loosen the corpus settings")
    every = "its one pair was dropped" if total == 1 else f"every one of its {total:,} pairs was dropped"
    return f"{name}: {every}: {describe(cleaned.dropped)}; {advice}"
