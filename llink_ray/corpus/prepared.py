"""From settings to split, clean pairs: what a run calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llink_ray.corpus.clean import Cleaned, Dropped, clean, describe
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.read import read
from llink_ray.corpus.split import Splits, split
from llink_ray.errors import LlinkError
from llink_ray.settings import CorpusSettings

if TYPE_CHECKING:
    from llink_ray.languages import Language


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus ready to train on, with the account of what it lost."""

    splits: Splits
    kept: int
    """Pairs in the three splits together; ``kept`` and the dropped counts make the pairs read."""
    dropped: dict[str, Dropped]
    """Reason -> how many and the first lines."""
    corpus_hash: str
    """SHA-256 (hex) over the kept pairs with their questions, whatever their order."""

    @property
    def dropped_count(self) -> int:
        """Pairs dropped, for whatever reason."""
        return sum(entry.count for entry in self.dropped.values())


def prepare(language: Language, settings: CorpusSettings, seed: int) -> Prepared:
    """Read (or let the phrasebook write), clean and split the parallel text of ``language``.

    ``seed`` chooses what the phrasebook writes; a file is read whole and split by hash alone.

    Raises:
        LlinkError: the corpus cannot be read, or too little of it is usable.
    """
    source: Iterable[Pair]
    if settings.path is None:
        # Imported here: phrasebook itself needs this package's Pair.
        from llink_ray import phrasebook

        name = f"the embedded {language.name} phrasebook"
        source = phrasebook.pairs(language.code, settings.pairs, seed=seed)
    else:
        name = f"corpus {settings.path}"
        source = read(settings.path)
    cleaned = clean(source, language, settings)
    if not cleaned.kept:
        raise LlinkError(_nothing_left(name, cleaned, language))
    try:
        splits = split(cleaned.kept, settings.test_fraction, settings.validation_fraction)
    except LlinkError as error:
        lost = f" (dropped before: {describe(cleaned.dropped)})" if cleaned.dropped else ""
        raise LlinkError(f"{name}: {error}{lost}") from None
    return Prepared(splits, len(cleaned.kept), cleaned.dropped, corpus_hash(cleaned.kept))


def corpus_hash(pairs: Iterable[Pair]) -> str:
    """SHA-256 (hex) of pairs and questions; neither order nor line numbers count."""
    rows = sorted(
        json.dumps(
            [pair.foreign, pair.english, [[q.kind, q.instruction, q.answer] for q in pair.questions]],
            ensure_ascii=False,
        )
        for pair in pairs
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _nothing_left(name: str, cleaned: Cleaned, language: Language) -> str:
    total = sum(entry.count for entry in cleaned.dropped.values())
    commonest = max(cleaned.dropped, key=lambda reason: cleaned.dropped[reason].count)
    check = f"check that the foreign side is {language.name}"
    advice = {
        "sides swapped": "swap the two columns",
        "wrong script": check,
        "wrong language": f"{check}, or set corpus.detect_language=false",
    }.get(commonest, "put these lines right, or loosen the corpus settings")
    every = "its one pair was dropped" if total == 1 else f"every one of its {total:,} pairs was dropped"
    return f"{name}: {every}: {describe(cleaned.dropped)}; {advice}"
