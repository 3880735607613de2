"""A held-out file: the pairs to measure on, and what is left out for what reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llink_ray.corpus.clean import Cleaned, clean, describe
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.prepared import corpus_hash
from llink_ray.corpus.read import read
from llink_ray.corpus.seen import SeenText
from llink_ray.errors import LlinkError
from llink_ray.settings import CorpusSettings
from llink_ray.text.languages import Language

UNKNOWN = "unknown"
"""For a bundle that does not carry what it was trained on."""
_ANOTHER = ("wrong script", "wrong language", "sides swapped", "source equals target")


@dataclass(frozen=True)
class HeldOutText:
    """Pairs to measure on, and the account of the file they came from."""

    pairs: list[Pair]
    """In an order that the seed and the English alone decide: any first n are a fair sample."""
    path: str
    corpus_hash: str
    """Of all usable pairs of the file, the near-duplicates among them."""
    dropped: dict[str, int]
    """Reason -> unusable lines."""
    near_duplicates: dict[str, int | str]
    """Bundle -> pairs that it, or nearly so, was trained on; ``unknown`` where it does not say."""
    left_out: int
    """Pairs that any of the bundles was trained on."""
    too_long: int
    """Pairs whose raw text does not fit into the decoder's context."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "path": self.path,
            "hash": self.corpus_hash,
            "pairs": len(self.pairs),
            "dropped": self.dropped,
            "near_duplicates": self.near_duplicates,
            "left_out": self.left_out,
            "too_long": self.too_long,
        }


def held_out_text(
    path: str,
    language: Language,
    seen: Mapping[str, SeenText | None],
    fits: Callable[[Pair], bool],
    seed: int,
) -> HeldOutText:
    """Read a corpus, clean it, and leave out what was trained on and what does not fit.

    ``seen``: what each bundle was trained on, by its name. ``fits``: whether every system can read a pair.

    Raises:
        LlinkError: the file cannot be read, is of another language, or nothing of it is left.
    """
    cleaned = clean(read(path), language, CorpusSettings())
    _refuse_another_language(path, language, cleaned)
    pairs = sorted(cleaned.kept, key=lambda pair: (_order(pair, seed), pair.foreign))
    known = np.zeros(len(pairs), dtype=bool)
    counts: dict[str, int | str] = {}
    for name, text in seen.items():
        own = None if text is None else text.near_duplicates(pairs)
        counts[name] = UNKNOWN if own is None else int(own.sum())
        known |= False if own is None else own
    fresh = [pair for pair, trained_on in zip(pairs, known, strict=True) if not trained_on]
    if not fresh:
        raise LlinkError(
            f"corpus {path}: the bundle was trained on every one of its {len(pairs)} usable pairs, or nearly "
            "so: give text that it has not seen"
        )
    fitting = [pair for pair in fresh if fits(pair)]
    if not fitting:
        raise LlinkError(
            f"corpus {path}: no pair fits into the decoder's context as raw text: give shorter ones"
        )
    return HeldOutText(
        pairs=fitting,
        path=path,
        corpus_hash=corpus_hash(cleaned.kept),
        dropped={reason: entry.count for reason, entry in sorted(cleaned.dropped.items())},
        near_duplicates=counts,
        left_out=int(known.sum()),
        too_long=len(fresh) - len(fitting),
    )


def _order(pair: Pair, seed: int) -> bytes:
    """The same English has the same position whatever the language beside it."""
    return hashlib.blake2b(f"{seed}:{pair.english}".encode(), digest_size=8).digest()


def _refuse_another_language(path: str, language: Language, cleaned: Cleaned) -> None:
    total = len(cleaned.kept) + sum(entry.count for entry in cleaned.dropped.values())
    another = sum(cleaned.dropped[reason].count for reason in _ANOTHER if reason in cleaned.dropped)
    if another > total / 2:
        raise LlinkError(
            f"corpus {path} does not look like {language.name} with English: of {total} pairs are "
            f"{describe(cleaned.dropped)}; give text of that language, or the bundle of the text's"
        )
    if not cleaned.kept:
        raise LlinkError(
            f"corpus {path}: none of its {total} pairs can be used ({describe(cleaned.dropped)}): "
            "put these lines right"
        )
