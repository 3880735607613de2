"""From settings to split, clean pairs: what a run calls."""

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
from llink_ray.corpus.tsv import COLUMNS
from llink_ray.errors import LlinkError
from llink_ray.progress import track
from llink_ray.settings import CorpusSettings

if TYPE_CHECKING:
    from llink_ray.text.languages import Language


SOURCES_TOLD = 40
"""Sources that are told by name; some files have one for every line."""
CROSSING = "shares a sentence with a held-out source"
"""Reason to drop a pair, counted with those of :mod:`llink_ray.corpus.clean`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus ready to train on, with the account of what it lost."""

    splits: Splits
    kept: int
    """Pairs in the four splits together; ``kept`` and the dropped counts make the pairs read."""
    dropped: dict[str, Dropped]
    """Reason -> how many and the first lines."""
    corpus_hash: str
    """SHA-256 (hex) over the kept pairs with their questions, whatever their order."""

    @property
    def dropped_count(self) -> int:
        """Pairs dropped, for whatever reason."""
        return sum(entry.count for entry in self.dropped.values())

    def account(self) -> dict[str, Any]:
        """Pairs kept, dropped by reason, by split, and by source and split where the corpus names sources."""
        splits = {name: getattr(self.splits, name) for name in SPLITS}
        by_source: dict[str, dict[str, int]] = {}
        for name, pairs in splits.items():
            for pair in pairs:
                by_source.setdefault(pair.source, dict.fromkeys(SPLITS, 0))[name] += 1
        found: dict[str, Any] = {
            "kept": self.kept,
            "dropped": self.dropped_count,
            "reasons": {
                reason: {"count": d.count, "first_lines": list(d.first_lines)}
                for reason, d in self.dropped.items()
            },
            **{name: len(pairs) for name, pairs in splits.items()},
        }
        return found if by_source.keys() <= {""} else found | {"sources": _told(by_source)}


def _told(by_source: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The largest sources in order of their names; all others together as ``…``."""
    largest = sorted(by_source, key=lambda name: -sum(by_source[name].values()))
    told = {name: by_source[name] for name in sorted(largest[:SOURCES_TOLD])}
    others = [by_source[name] for name in largest[SOURCES_TOLD:]]
    if others:
        told["…"] = {split: sum(counts[split] for counts in others) for split in SPLITS}
    return told


def prepare(language: Language, settings: CorpusSettings, seed: int) -> Prepared:
    """Read (or let the phrasebook write), clean and split the parallel text of ``language``.

    ``seed`` chooses what the phrasebook writes; a file is read whole and split by hash alone.

    Raises:
        LlinkError: the corpus cannot be read, or too little of it is usable.
    """
    source: Iterable[Pair]
    if settings.path is None:
        # Imported here: phrasebook itself needs this package's Pair.
        from llink_ray.corpus import phrasebook

        name = f"the embedded {language.name} phrasebook"
        source = phrasebook.pairs(language.code, settings.pairs, seed=seed)
    else:
        name = f"corpus {settings.path}"
        source = read(settings.path)
    cleaned = clean(source, language, settings)
    if not cleaned.kept:
        raise LlinkError(_nothing_left(name, cleaned, language))
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
    there = {pair.source for pair in pairs}
    for source in held_out:
        if source not in there:
            known = sorted(there - {""})
            listed = ", ".join(map(repr, known[:SOURCES_TOLD])) + " …" * (len(known) > SOURCES_TOLD)
            told = f"name one of {listed}" if known else "none of its pairs names a source"
            raise LlinkError(f"{name} has no source {source!r} (corpus.held_out_sources): {told}")


def corpus_hash(pairs: Iterable[Pair]) -> str:
    """SHA-256 (hex) of pairs and questions; neither order nor line numbers nor sources count."""
    rows = sorted(
        json.dumps(
            [pair.foreign, pair.english, [_asked(question) for question in pair.questions]],
            ensure_ascii=False,
        )
        for pair in pairs
    )
    digest = hashlib.sha256()
    for i, row in enumerate(rows):  # one at a time: joined, they would be the corpus twice more
        digest.update(f"\n{row}".encode() if i else row.encode())
    return digest.hexdigest()


def _asked(question: Question) -> list[str | list[str]]:
    """A question as it is hashed; choices count only where there are any."""
    fields: list[str | list[str]] = [question.kind, question.instruction, question.answer]
    return [*fields, list(question.choices)] if question.choices else fields


def _nothing_left(name: str, cleaned: Cleaned, language: Language) -> str:
    total = sum(entry.count for entry in cleaned.dropped.values())
    commonest = max(cleaned.dropped, key=lambda reason: cleaned.dropped[reason].count)
    check = f"check that the foreign side is {language.name}"
    advice = {
        "sides swapped": "swap the two columns",
        COLUMNS: "put exactly one tab between two columns, in the header as in the lines",
        "wrong script": check,
        ZAWGYI: "convert it to Unicode with corpus.zawgyi=convert",
        "wrong language": f"{check}, or set corpus.detect_language=false",
    }.get(commonest, "put these lines right, or loosen the corpus settings")
    every = "its one pair was dropped" if total == 1 else f"every one of its {total:,} pairs was dropped"
    return f"{name}: {every}: {describe(cleaned.dropped)}; {advice}"
