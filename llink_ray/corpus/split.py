"""Train, validation, test and unseen splits by hash; no sentence of either side is in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from llink_ray.corpus.pair import Pair
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.errors import LlinkError

UNSEEN = "unseen"
"""The split of sources that are held out of training."""
SPLITS = ("train", "validation", "test", UNSEEN)
"""Names of the splits."""
MAX_HELD_OUT_GROUP = 64
"""Pairs of the largest group that may be held out: one web of synonyms must not fill a split."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Each in hash order, so that the first n pairs are a fair sample."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    unseen: list[Pair] = field(default_factory=list)
    """Pairs of sources held out of training."""
    left_out: list[Pair] = field(default_factory=list)
    """Pairs of other sources that share sentences with those; in none of the four."""


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
    """A group's position in [0, 1). Hashed again, since the smallest of many hashes is near zero."""
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
    pairs_list = list(pairs)
    keys = [_pair_keys(pair) for pair in pairs_list]
    groups = _Groups()
    for foreign, english, _ in keys:
        groups.join(foreign, english)
    smallest: dict[bytes, bytes] = {}
    sizes: dict[bytes, int] = {}
    held_out_groups: set[bytes] = set()
    for pair, (foreign, english, _) in zip(pairs_list, keys, strict=True):
        root = groups.root(foreign)
        if pair.source in held_out_sources:
            held_out_groups.add(root)
        smallest[root] = min(smallest.get(root, foreign), foreign, english)
        sizes[root] = sizes.get(root, 0) + 1
    splits = Splits([], [], [])
    for pair, (foreign, _, _) in sorted(zip(pairs_list, keys, strict=True), key=_order):
        root = groups.root(foreign)
        position = _position(smallest[root])
        if root in held_out_groups:
            (splits.unseen if pair.source in held_out_sources else splits.left_out).append(pair)
        elif sizes[root] > MAX_HELD_OUT_GROUP or position >= test_fraction + validation_fraction:
            splits.train.append(pair)
        elif position < test_fraction:
            splits.test.append(pair)
        else:
            splits.validation.append(pair)
    _require_train_and_test(splits, len(sizes))
    return splits


def _key(text: str) -> str:
    return sentence_key(text) or text


def _pair_keys(pair: Pair) -> tuple[bytes, bytes, bytes]:
    """Hashes of the foreign sentence, of the English one, and of both."""
    foreign, english = _key(pair.foreign), _key(pair.english)
    return _digest(foreign), _digest(english), _digest(foreign, english)


def _order(item: tuple[Pair, tuple[bytes, bytes, bytes]]) -> tuple[bytes, str, str, int]:
    pair, (_, _, both) = item
    return both, pair.foreign, pair.english, pair.line


def _require_train_and_test(splits: Splits, groups: int) -> None:
    if splits.train and splits.test:
        return
    counts = f"{len(splits.train)} to train, {len(splits.validation)} to validate, {len(splits.test)} to test"
    total = len(splits.train) + len(splits.validation) + len(splits.test)
    if splits.unseen:
        lost = len(splits.unseen) + len(splits.left_out)
        counts += f", and {lost} went with corpus.held_out_sources"
        total += lost
    raise LlinkError(
        f"the corpus is too small to divide: its {total} usable {'pair' if total == 1 else 'pairs'} "
        f"(in {groups} {'group' if groups == 1 else 'groups'} that share no sentence) came out as {counts}; "
        f"give more pairs, {'fewer held-out sources, ' * bool(splits.unseen)}or another corpus.test_fraction"
    )
