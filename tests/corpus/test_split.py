"""Splitting by hash: no sentence crosses, order does not matter, what was placed stays."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.corpus.normalise import sentence_key
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.split import LARGEST_HELD_OUT, Splits, split
from llink_ray.errors import LlinkError


def numbered(count: int) -> list[Pair]:
    return [Pair(f"វាក្យ {n}", f"Sentence {n}", line=n + 1) for n in range(count)]


def sides(pairs: list[Pair]) -> set[str]:
    return {sentence_key(text) for pair in pairs for text in (pair.foreign, pair.english)}


def place_of(splits: Splits) -> dict[Pair, str]:
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {pair: name for name, pairs in named.items() for pair in pairs}


# Few words, so that sentences are shared on either side and in long chains; the spellings of
# one sentence differ in case, spaces and marks.
words = st.sampled_from(["ka", "Ka!", " k a", "ro", "RO", "mi", "mi.", "su", "te 3", "te 3.5", "te 35", "no"])
shared = st.lists(st.builds(Pair, words, words), max_size=8)


@settings(deadline=None)
@given(shared, st.integers())
def test_no_sentence_of_either_side_crosses(tied: list[Pair], seed: int) -> None:
    pairs = [*numbered(100), *tied]
    random.Random(seed).shuffle(pairs)
    found = split(pairs, 0.3, 0.2)
    assert len(found.train) + len(found.validation) + len(found.test) == len(pairs)
    assert not sides(found.train) & sides(found.test)
    assert not sides(found.train) & sides(found.validation)
    assert not sides(found.validation) & sides(found.test)


@settings(deadline=None)
@given(shared, st.integers())
def test_order_of_the_file_does_not_matter(tied: list[Pair], seed: int) -> None:
    pairs = [*numbered(60), *tied]
    other = pairs.copy()
    random.Random(seed).shuffle(other)
    assert split(pairs, 0.3, 0.2) == split(other, 0.3, 0.2)


def test_pairs_added_move_no_others() -> None:
    before = place_of(split(numbered(500), 0.2, 0.1))
    after = place_of(split(numbered(900), 0.2, 0.1))
    assert {pair: after[pair] for pair in before} == before


def test_a_chain_of_shared_sentences_stays_together() -> None:
    links = [Pair(f"ខ {n // 2}", f"link {(n + 1) // 2}") for n in range(40)]
    placed = place_of(split([*numbered(200), *links], 0.3, 0.2))
    assert len({placed[link] for link in links}) == 1


def test_shares_are_met_also_by_pairs_in_groups() -> None:
    # Three sentences a group: were the smallest hash itself the place, test would get about .49 here.
    pairs = [Pair(f"ខ {n} {m}", f"group {n}") for n in range(3_000) for m in range(2)]
    found = split(pairs, 0.2, 0.1)
    assert len(found.test) / len(pairs) == pytest.approx(0.2, abs=0.03)
    assert len(found.validation) / len(pairs) == pytest.approx(0.1, abs=0.03)


def test_a_large_group_trains() -> None:
    for n in range(40):
        group = [Pair(f"ខ {n} {m}", f"group {n}") for m in range(LARGEST_HELD_OUT + 1)]
        assert set(group) <= set(split([*numbered(50), *group], 0.3, 0.2).train)


def test_test_pairs_come_in_no_file_order() -> None:
    lines = [pair.line for pair in split(numbered(2_000), 0.2, 0.1).test]
    assert lines != sorted(lines)
    assert sum(lines[:50]) / 50 == pytest.approx(1_000, abs=300)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pairs(count: int) -> None:
    with pytest.raises(LlinkError, match=r"too small to divide.*to train, 0 to validate.*to test"):
        split(numbered(count), 0.1, 0.03)


def test_one_group_cannot_be_divided() -> None:
    pairs = [Pair("ខ", f"meaning {n}") for n in range(20)]
    with pytest.raises(LlinkError, match=r"20 usable pairs \(in 1 group "):
        split(pairs, 0.1, 0.03)
