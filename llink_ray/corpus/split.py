"""Train, validation and test: by hash, and such that no sentence of either side crosses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from llink_ray.corpus.normalise import sentence_key
from llink_ray.corpus.pair import Pair
from llink_ray.errors import LlinkError

LARGEST_HELD_OUT = 64
"""Groups of more pairs than this always train: one web of synonyms must not fill a split by itself."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Each in hash order, so that its first n pairs are a fair sample, whatever order the file had."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]


class _Groups:
    """Union-find over sentence keys, by path halving."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, key: str) -> str:
        parent = self._parent
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(self, a: str, b: str) -> None:
        self._parent[self.root(a)] = self.root(b)


def _digest(*texts: str) -> bytes:
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).digest()


def _position(smallest: bytes) -> float:
    """A group's place in [0, 1). Hashed again, as the smallest of many hashes lies near zero."""
    return int.from_bytes(hashlib.blake2b(smallest, digest_size=8).digest()) / 2**64


def split(pairs: Iterable[Pair], test_fraction: float, validation_fraction: float) -> Splits:
    """Divide ``pairs`` by the hash of their normalised sentences.

    Pairs that share a sentence, of either side and directly or through others, are one group (a
    connected component), and the smallest hash of the group's sentences says where all of it
    goes. So the outcome depends neither on order nor on chance, and a pair added later moves
    none of the others, unless it ties groups together.

    Raises:
        LlinkError: nothing to train on, or nothing to test with.
    """
    listed = list(pairs)
    keys = [(_key(pair.foreign), _key(pair.english)) for pair in listed]
    groups = _Groups()
    for foreign, english in keys:
        groups.join(foreign, english)
    smallest: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    for sides in keys:
        root = groups.root(sides[0])
        digests = [_digest(side) for side in sides]
        smallest[root] = min(smallest.get(root, digests[0]), *digests)
        sizes[root] = sizes.get(root, 0) + 1
    found = Splits([], [], [])
    for pair, sides in sorted(zip(listed, keys, strict=True), key=_order):
        root = groups.root(sides[0])
        place = _position(smallest[root])
        if sizes[root] > LARGEST_HELD_OUT or place >= test_fraction + validation_fraction:
            found.train.append(pair)
        elif place < test_fraction:
            found.test.append(pair)
        else:
            found.validation.append(pair)
    _refuse_empty(found, len(sizes))
    return found


def _key(text: str) -> str:
    return sentence_key(text) or text


def _order(item: tuple[Pair, tuple[str, str]]) -> tuple[bytes, str, str, int]:
    pair, sides = item
    return _digest(*sides), pair.foreign, pair.english, pair.line


def _refuse_empty(found: Splits, groups: int) -> None:
    if found.train and found.test:
        return
    counts = f"{len(found.train)} to train, {len(found.validation)} to validate, {len(found.test)} to test"
    total = len(found.train) + len(found.validation) + len(found.test)
    raise LlinkError(
        f"the corpus is too small to divide: its {total} usable {'pair' if total == 1 else 'pairs'} "
        f"(in {groups} {'group' if groups == 1 else 'groups'} that share no sentence) came out as {counts}; "
        f"give more pairs, or another corpus.test_fraction"
    )
