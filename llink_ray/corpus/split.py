"""Train, validation, test and unseen: by hash, and such that no sentence of either side crosses."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from llink_ray.corpus.normalise import sentence_key
from llink_ray.corpus.pair import Pair
from llink_ray.errors import LlinkError

UNSEEN = "unseen"
"""The split of the sources that are held out of training."""
SPLITS = ("train", "validation", "test", UNSEEN)
"""Names of the splits."""
LARGEST_HELD_OUT = 64
"""Groups of more pairs than this always train: one web of synonyms must not fill a split by itself."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Each in hash order, so that its first n pairs are a fair sample, whatever order the file had."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    unseen: list[Pair] = field(default_factory=list)
    """Pairs of sources held out of training."""
    left_out: list[Pair] = field(default_factory=list)
    """Pairs of other sources whose sentences lead to those: in none of the four."""


class _Groups:
    """Union-find over hashes of sentences, by path halving."""

    def __init__(self) -> None:
        self._parent: dict[bytes, bytes] = {}

    def root(self, key: bytes) -> bytes:
        parent = self._parent
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(self, a: bytes, b: bytes) -> None:
        self._parent[self.root(a)] = self.root(b)


def _digest(*texts: str) -> bytes:
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).digest()


def _position(smallest: bytes) -> float:
    """A group's place in [0, 1). Hashed again, as the smallest of many hashes lies near zero."""
    return int.from_bytes(hashlib.blake2b(smallest, digest_size=8).digest()) / 2**64


def split(
    pairs: Iterable[Pair],
    test_fraction: float,
    validation_fraction: float,
    held_out_sources: Collection[str] = (),
) -> Splits:
    """Divide ``pairs`` by the hash of their normalised sentences.

    Pairs that share a sentence, of either side and directly or through others, are one group (a
    connected component), and the smallest hash of the group's sentences says where all of it
    goes. So the outcome depends neither on order nor on chance, and a pair added later moves
    none of the others, unless it ties groups together. Pairs of ``held_out_sources`` are the unseen
    ones, however many; the rest of a group that has such a pair is left out.

    Raises:
        LlinkError: nothing to train on, or nothing to test with.
    """
    listed = list(pairs)
    marks = [_marks(pair) for pair in listed]
    groups = _Groups()
    for foreign, english, _ in marks:
        groups.join(foreign, english)
    smallest: dict[bytes, bytes] = {}
    sizes: dict[bytes, int] = {}
    apart: set[bytes] = set()
    for pair, (foreign, english, _) in zip(listed, marks, strict=True):
        root = groups.root(foreign)
        if pair.source in held_out_sources:
            apart.add(root)
        smallest[root] = min(smallest.get(root, foreign), foreign, english)
        sizes[root] = sizes.get(root, 0) + 1
    found = Splits([], [], [])
    for pair, (foreign, _, _) in sorted(zip(listed, marks, strict=True), key=_order):
        root = groups.root(foreign)
        place = _position(smallest[root])
        if root in apart:
            (found.unseen if pair.source in held_out_sources else found.left_out).append(pair)
        elif sizes[root] > LARGEST_HELD_OUT or place >= test_fraction + validation_fraction:
            found.train.append(pair)
        elif place < test_fraction:
            found.test.append(pair)
        else:
            found.validation.append(pair)
    _refuse_empty(found, len(sizes))
    return found


def _key(text: str) -> str:
    return sentence_key(text) or text


def _marks(pair: Pair) -> tuple[bytes, bytes, bytes]:
    """Hashes of the foreign sentence, of the English one, and of both."""
    foreign, english = _key(pair.foreign), _key(pair.english)
    return _digest(foreign), _digest(english), _digest(foreign, english)


def _order(item: tuple[Pair, tuple[bytes, bytes, bytes]]) -> tuple[bytes, str, str, int]:
    pair, (_, _, both) = item
    return both, pair.foreign, pair.english, pair.line


def _refuse_empty(found: Splits, groups: int) -> None:
    if found.train and found.test:
        return
    counts = f"{len(found.train)} to train, {len(found.validation)} to validate, {len(found.test)} to test"
    total = len(found.train) + len(found.validation) + len(found.test)
    if found.unseen:
        lost = len(found.unseen) + len(found.left_out)
        counts += f", and {lost} went with corpus.held_out_sources"
        total += lost
    raise LlinkError(
        f"the corpus is too small to divide: its {total} usable {'pair' if total == 1 else 'pairs'} "
        f"(in {groups} {'group' if groups == 1 else 'groups'} that share no sentence) came out as {counts}; "
        f"give more pairs, {'fewer held-out sources, ' * bool(found.unseen)}or another corpus.test_fraction"
    )
