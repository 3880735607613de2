"""Splitting by hash: no sentence crosses, order does not matter, what was placed stays."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.corpus.pair import Pair
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.corpus.split import MAX_HELD_OUT_GROUP, SPLITS, Splits, split
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
    result = split(pairs, 0.3, 0.2)
    assert len(result.train) + len(result.validation) + len(result.test) == len(pairs)
    assert not sides(result.train) & sides(result.test)
    assert not sides(result.train) & sides(result.validation)
    assert not sides(result.validation) & sides(result.test)


@settings(deadline=None)
@given(shared, st.integers())
def test_order_of_the_file_does_not_matter(tied: list[Pair], seed: int) -> None:
    pairs = [*numbered(60), *tied]
    other = pairs.copy()
    random.Random(seed).shuffle(other)
    assert split(pairs, 0.3, 0.2) == split(other, 0.3, 0.2)


sourced = st.lists(st.builds(Pair, words, words, source=st.sampled_from(["a", "b", "c"])), max_size=10)


@settings(deadline=None, max_examples=50)
@given(sourced, st.sets(st.sampled_from(["a", "b"]), min_size=1), st.integers())
def test_no_sentence_crosses_to_the_held_out_sources(tied: list[Pair], held: set[str], seed: int) -> None:
    pairs = [*numbered(100), *tied]
    random.Random(seed).shuffle(pairs)
    result = split(pairs, 0.3, 0.2, held)
    parts = [getattr(result, name) for name in SPLITS]
    assert sorted(map(repr, [*chain(*parts), *result.left_out])) == sorted(map(repr, pairs))
    for i, part in enumerate(parts):
        assert all(not sides(part) & sides(other) for other in parts[i + 1 :])
    assert {pair.source for pair in result.unseen} <= held
    assert not {pair.source for part in parts[:3] for pair in part} & held
    # Who is left out is tied to an unseen pair, and nobody else is missing from the ordinary splits.
    if not result.unseen:
        assert result == split(pairs, 0.3, 0.2)
    if result.left_out:
        joined = split([*result.unseen, *result.left_out, *numbered(50)], 0.3, 0.2, held)
        assert len(joined.left_out) == len(result.left_out)


def test_other_pairs_stay_where_they_are_without_the_held_out_source() -> None:
    pairs = [replace(pair, source="mine") for pair in numbered(400)]
    apart = [Pair(f"ខ {n}", f"apart {n}", source="other") for n in range(50)]
    tied = [Pair("ខ 7", "the seventh", source="mine"), Pair("ខ ៩៩", "the seventh", source="mine")]
    result = split([*pairs, *apart, *tied], 0.2, 0.1, ("other",))
    assert len(result.unseen) == 50
    assert sorted(pair.english for pair in result.left_out) == ["the seventh"] * 2
    plain = split(pairs, 0.2, 0.1)
    assert (result.train, result.validation, result.test) == (plain.train, plain.validation, plain.test)


def test_a_web_with_a_held_out_pair_does_not_train() -> None:
    web = [Pair(f"ខ {n}", "one meaning", source="a") for n in range(MAX_HELD_OUT_GROUP + 1)]
    result = split([*numbered(100), *web, Pair("គ", "one meaning", source="b")], 0.3, 0.2, ("b",))
    assert len(result.unseen) == 1 and len(result.left_out) == len(web)


def test_nothing_left_to_train_on() -> None:
    pairs = [replace(pair, source="all") for pair in numbered(20)]
    with pytest.raises(LlinkError, match=r"its 20 usable pairs.*20 went with corpus\.held_out_sources"):
        split(pairs, 0.1, 0.03, ("all",))


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
    result = split(pairs, 0.2, 0.1)
    assert len(result.test) / len(pairs) == pytest.approx(0.2, abs=0.03)
    assert len(result.validation) / len(pairs) == pytest.approx(0.1, abs=0.03)


def test_a_large_group_trains() -> None:
    for n in range(40):
        group = [Pair(f"ខ {n} {m}", f"group {n}") for m in range(MAX_HELD_OUT_GROUP + 1)]
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
