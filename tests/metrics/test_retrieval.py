from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.metrics.retrieval import Retrieval, cosines, rank, retrieval

Pairs = tuple[NDArray[Any], NDArray[Any]]


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """Few small whole numbers, so that ties, zero vectors and opposite vectors are common."""
    shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 4)))
    values = arrays(np.float32, shape, elements=st.integers(-2, 2).map(float))
    return draw(values), draw(values)


def similarities(queries: NDArray[Any], targets: NDArray[Any]) -> list[list[float]]:
    """Cosines by plain arithmetic; 0 where a vector is zero; rounded, so that equal ones are equal."""

    def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
        dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        lengths = math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b))
        return round(dot / lengths, 9) if lengths else 0.0

    return [[cosine(a, b) for b in targets] for a in queries]


def reference(queries: NDArray[Any], targets: NDArray[Any]) -> Retrieval:
    """Every place that the right answer can take among its ties, one by one."""
    measures: tuple[Callable[[int], float], ...] = (
        lambda r: r <= 1, lambda r: r <= 5, lambda r: r <= 10, lambda r: 1 / r, lambda r: r
    )  # fmt: skip
    rows, margins = [], []
    for i, scores in enumerate(similarities(queries, targets)):
        margins.append(scores[i] - max([*scores[:i], *scores[i + 1 :]], default=scores[i]))
        first = 1 + sum(s > scores[i] for s in scores)
        ranks = range(first, first + sum(s == scores[i] for s in scores))
        rows.append([np.mean([measure(r) for r in ranks]) for measure in measures])
    r1, r5, r10, mrr, rank = np.mean(rows, axis=0)
    return Retrieval(r1, r5, r10, mrr, rank, float(np.mean(margins)), len(queries))


def close(found: Retrieval, wanted: Retrieval) -> None:
    assert found.as_dict() == pytest.approx(wanted.as_dict(), abs=1e-9)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs(), st.integers(1, 9))
def test_equals_the_plain_reference_whatever_the_tile(drawn: Pairs, tile: int) -> None:
    close(retrieval(*drawn, tile=tile), reference(*drawn))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs())
def test_figures_agree_with_each_other(drawn: Pairs) -> None:
    found = retrieval(*drawn)
    assert 0 <= found.r1 <= found.r5 <= found.r10 <= 1 + 1e-12
    # Best cases: everyone at the best rank of their group, 1, 2, 6 or 11.
    groups = np.diff([0, found.r1, found.r5, found.r10, 1])
    assert found.r1 - 1e-9 <= found.mrr <= groups @ [1, 1 / 2, 1 / 6, 1 / 11] + 1e-9
    assert groups @ [1, 2, 6, 11] - 1e-9 <= found.mean_rank <= found.count


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs(), st.randoms(use_true_random=False), st.floats(0.01, 100))
def test_order_of_the_pairs_and_length_of_the_vectors_do_not_matter(
    drawn: Pairs, rng: Any, scale: float
) -> None:
    queries, targets = drawn
    order = rng.sample(range(len(queries)), len(queries))
    close(retrieval(queries[order] * scale, targets[order].astype(np.float64)), retrieval(queries, targets))


def test_random_vectors_against_the_reference() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(150, 12))
    queries = targets + rng.normal(size=targets.shape)
    found = retrieval(queries, targets, tile=64)
    close(found, reference(queries, targets))
    assert 0.1 < found.r1 < 0.9  # neither trivial nor hopeless, or the comparison would show nothing


def test_perfect_and_opposite() -> None:
    vectors = np.eye(20)
    assert retrieval(vectors, vectors) == Retrieval(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 20)
    assert retrieval(-vectors, vectors).mean_rank == 20.0


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_collapsed_projector_scores_as_chance(value: float) -> None:
    found = retrieval(
        np.full((40, 7), value), np.random.default_rng(1).normal(size=(1, 7)).repeat(40, axis=0)
    )
    harmonic = sum(1 / k for k in range(1, 41))
    close(found, Retrieval(1 / 40, 5 / 40, 10 / 40, harmonic / 40, 20.5, 0.0, 40))


def test_equal_targets_share_their_places() -> None:
    vectors = np.eye(4)[[0, 1, 2, 2]]
    found = retrieval(vectors, vectors)
    assert (found.r1, found.mean_rank) == (0.75, 1.25) and found.mrr == pytest.approx(0.875)
    assert found.margin == pytest.approx(0.5), "two are alone by a right angle, two have their equal"


def test_a_single_pair_has_nothing_beside_it() -> None:
    assert retrieval(np.eye(3)[:1], np.eye(3)[:1]) == Retrieval(1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1)


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_torch_of_any_float_type(kind: str) -> None:
    import torch

    targets = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    queries = (targets + torch.randn(50, 16, generator=torch.Generator().manual_seed(1))).requires_grad_()
    dtype = getattr(torch, kind)
    found = retrieval(queries.to(dtype), targets.to(dtype))
    close(found, retrieval(queries.detach().to(dtype).float().numpy(), targets.to(dtype).float().numpy()))
    assert found.r1 > 0.5


@pytest.mark.parametrize(("side", "value"), list(itertools.product(("queries", "targets"), (np.nan, np.inf))))
def test_what_is_not_finite_is_refused_with_its_row(side: str, value: float) -> None:
    sides = {"queries": np.ones((9, 3)), "targets": np.ones((9, 3))}
    sides[side][6, 1] = value
    with pytest.raises(JobFailed, match=f"row 6 of the {side}"):
        retrieval(**sides, tile=4)


@pytest.mark.parametrize(("queries", "targets"), [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((4,), (4,))])
def test_shapes_that_do_not_pair_up(queries: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(LlinkError, match="one target of the same size"):
        retrieval(np.ones(queries), np.ones(targets))


def test_nothing_to_rank() -> None:
    with pytest.raises(LlinkError, match="at least one held-out pair"):
        retrieval(np.ones((0, 4)), np.ones((0, 4)))


def test_ranks_of_single_queries_add_up_to_the_figures() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(60, 8))
    targets[7] = targets[3]  # a tie
    queries = targets + rng.normal(size=targets.shape)
    ranks = rank(queries, targets, tile=16)
    scores = np.array(similarities(queries, targets))
    own = scores.diagonal()[:, None]
    assert ranks.above.tolist() == (scores > own).sum(1).tolist()
    assert ranks.tied.tolist() == ((scores == own).sum(1) - 1).tolist() and ranks.tied.sum() == 2
    assert ranks.first().mean() == pytest.approx(ranks.summary().r1)
    assert rank(np.ones((4, 3)), np.ones((4, 3))).first().mean() == pytest.approx(0.25)


def test_cosines_are_row_by_row() -> None:
    assert cosines(np.eye(2), np.array([[2.0, 0.0], [1.0, 1.0]])) == pytest.approx([1, 0.5**0.5])
