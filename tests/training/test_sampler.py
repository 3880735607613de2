"""Which rows make up a step, the queue of past vectors, and the schedules: all functions of the step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.errors import LlinkError
from llink_ray.training.negative_queue import NegativeQueue
from llink_ray.training.sampler import BucketedBatches, batch, effective_batch_size, micro_batch_size
from llink_ray.training.schedule import anneal, warm_cosine

few = settings(max_examples=30, deadline=None)


def bucketed(lengths: np.ndarray, size: int, seed: int, epoch: int, pool: int = 16) -> list[np.ndarray]:
    batches = BucketedBatches(len(lengths), size, seed, epoch, lambda rows: lengths[rows], pool)
    return [batches[position] for position in range(len(batches))]


@few
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_meets_rows_once(count: int, size: int, seed: int, epoch: int) -> None:
    size = min(size, count)
    per_epoch = count // size
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    rows = np.concatenate([batch(count, size, seed, step) for step in steps])
    assert len(set(rows.tolist())) == len(rows) == per_epoch * size
    assert rows.min() >= 0 and rows.max() < count


def test_a_batch_is_a_function_of_its_step() -> None:
    unbroken = [batch(50, 8, seed=3, step=step).copy() for step in range(20)]
    for step in (19, 7, 0, 12):  # asked for in any order, as a resumed run does
        assert np.array_equal(batch(50, 8, seed=3, step=step), unbroken[step])
    assert not np.array_equal(unbroken[0], unbroken[6])  # 6 batches an epoch, and each epoch is new
    assert not np.array_equal(unbroken[0], batch(50, 8, seed=4, step=0))


@few
@given(st.lists(st.integers(1, 90), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 4))
def test_buckets_meet_rows_once(lengths: list[int], size: int, pool: int) -> None:
    size = min(size, len(lengths))
    batches = bucketed(np.array(lengths), size, seed=0, epoch=0, pool=pool)
    rows = np.concatenate(batches)
    assert all(len(part) == size for part in batches)
    assert len(batches) == len(lengths) // size
    assert len(set(rows.tolist())) == len(rows)


def test_buckets_hold_like_lengths_in_random_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 640)
    batches = bucketed(lengths, 8, seed=1, epoch=0)
    spread = np.mean([np.ptp(lengths[part]) for part in batches])
    assert spread < 20 < np.ptp(lengths[:8])
    means = [lengths[part].mean() for part in batches]
    assert means != sorted(means)
    again = bucketed(lengths, 8, seed=1, epoch=0)
    assert all(np.array_equal(left, right) for left, right in zip(batches, again, strict=True))
    other = bucketed(lengths, 8, seed=1, epoch=1)
    assert not all(np.array_equal(left, right) for left, right in zip(batches, other, strict=True))


def test_only_the_pools_that_are_read_are_measured() -> None:
    measured: list[int] = []

    def lengths(rows: np.ndarray) -> np.ndarray:
        measured.extend(rows.tolist())
        return rows % 7

    batches = BucketedBatches(1_000, 10, 0, 0, lengths, pool=4)
    backwards = [batches[position] for position in reversed(range(100))][::-1]
    assert sorted(measured) == list(range(1_000)), "each row once"
    measured.clear()
    again = BucketedBatches(1_000, 10, 0, 0, lengths, pool=4)
    assert np.array_equal(again[7], backwards[7]) and len(measured) == 40


def test_the_longest_rows_get_their_turn() -> None:
    lengths = np.arange(50)  # 48 of 50 fit an epoch, and it must not always be the same 48
    met: set[int] = set()
    for epoch in range(30):
        met |= {int(row) for part in bucketed(lengths, 16, seed=0, epoch=epoch) for row in part}
    assert met == set(range(50))


@few
@given(st.integers(1, 512), st.integers(1, 3_000), st.integers(1, 8))
def test_a_small_corpus_still_makes_a_batch(size: int, count: int, workers: int) -> None:
    size *= workers  # as settings demand
    if count < workers:
        with pytest.raises(LlinkError, match=rf"{count} training pair.* too few for {workers} workers"):
            effective_batch_size(size, count, workers)
        return
    found = effective_batch_size(size, count, workers)
    assert 0 < found <= min(size, count)
    assert found % workers == 0
    assert found == size or count - found < workers


@given(st.none() | st.integers(1, 64), st.integers(1, 128))
def test_micro_batches_are_few_and_even(most: int | None, examples: int) -> None:
    size = micro_batch_size([[9] * examples], most, None)
    assert 1 <= size <= (most or examples)
    assert -(-examples // size) == -(-examples // (most or examples)), "no more forwards than needed"
    assert size - 1 < examples / -(-examples // size) <= size, "none much larger than the others"


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[st.integers(1, 90)] * n), min_size=1)))
def test_no_micro_batch_is_longer_than_the_limit(rows: list[tuple[int, ...]]) -> None:
    lengths: list[list[int]] = [list(worker) for worker in zip(*rows, strict=True)]

    def longest(size: int) -> int:
        starts = range(0, len(rows), size)
        parts = [worker[start : start + size] for worker in lengths for start in starts]
        return max(max(part) * len(part) for part in parts)

    size = micro_batch_size(lengths, None, 100)
    assert size == 1 or longest(size) <= 100
    fewer = {-(-len(rows) // count) for count in range(1, -(-len(rows) // size))}
    assert all(longest(larger) > 100 for larger in fewer), "no more forwards than needed"


def test_queue_keeps_the_newest() -> None:
    queue = NegativeQueue(5, 2)
    assert len(queue.contents()[0]) == len(queue.contents()[1]) == 0
    for start in (0, 3, 6, 9):
        ids = torch.arange(start, start + 3)
        queue.push(torch.stack([ids, -ids], dim=1).float(), ids)
        vectors, contents = queue.contents()
        assert sorted(contents.tolist()) == list(range(max(0, start - 2), start + 3))
        assert torch.equal(
            vectors, torch.stack([contents, -contents], dim=1).float()
        )  # each with its own name


def test_queue_smaller_than_a_batch_and_no_queue() -> None:
    small = NegativeQueue(2, 1)
    small.push(torch.arange(5.0)[:, None], torch.arange(5))
    assert sorted(small.contents()[1].tolist()) == [3, 4]
    assert torch.equal(small.contents()[0][:, 0], small.contents()[1].float())
    none = NegativeQueue(0, 1)
    none.push(torch.ones(3, 1), torch.arange(3))
    assert none.contents()[0].shape == (0, 1)


def test_queue_takes_no_gradient() -> None:
    queue = NegativeQueue(4, 2)
    queue.push(torch.ones(2, 2, requires_grad=True) * 2, torch.arange(2))
    assert not queue.contents()[0].requires_grad


@pytest.mark.parametrize("pushed", [0, 1, 2, 5])
def test_queue_goes_on_from_its_state(pushed: int) -> None:
    def push(queue: NegativeQueue, turn: int) -> None:
        queue.push(torch.full((3, 2), float(turn)), torch.full((3,), turn))

    unbroken, before, after = NegativeQueue(7, 2), NegativeQueue(7, 2), NegativeQueue(7, 2)
    for turn in range(pushed):
        push(unbroken, turn)
        push(before, turn)
    after.restore({name: value.clone() for name, value in before.state().items()})
    for turn in range(pushed, pushed + 3):
        push(unbroken, turn)
        push(after, turn)
        for left, right in zip(unbroken.contents(), after.contents(), strict=True):
            assert torch.equal(left, right)


def test_warm_cosine() -> None:
    factors = [warm_cosine(step, 100, 10, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.55)  # half way down
    assert factors[100] == pytest.approx(0.1)
    assert all(left > right for left, right in pairwise(factors[10:]))
    assert warm_cosine(0, 10, 0) == 1.0
    assert warm_cosine(7, 5, 20) == pytest.approx(8 / 20)  # a short run may end while it warms up


def test_anneal() -> None:
    assert anneal(0, 11, 0.17, 0.08) == pytest.approx(0.17)
    assert anneal(5, 11, 0.17, 0.08) == pytest.approx(0.125)
    assert anneal(10, 11, 0.17, 0.08) == pytest.approx(0.08)
    assert anneal(99, 11, 0.17, 0.08) == pytest.approx(0.08)
    assert anneal(0, 1, 0.17, 0.08) == pytest.approx(0.17)
