"""Objectives by name, and what ranks trials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from llink_ray.errors import LlinkError
from llink_ray.sweeps.objective import Objective, parse_objectives, ranks


def test_objectives_by_name() -> None:
    assert parse_objectives("answers.exact, slots") == (Objective("answers.exact"), Objective("slots"))
    for wrong, message in (("r1", "retrieval.r1"), ("", "name one"), ("loss,loss", "different")):
        with pytest.raises(LlinkError, match=message):
            parse_objectives(wrong)


def test_scores_are_larger_where_better_and_ties_are_broken() -> None:
    assert Objective("slots").score({"slots": 8.0}) == -8.0
    assert Objective("seconds").score({"seconds": 3.0}) == -3.0
    r1 = Objective("retrieval.r1")
    assert r1.score({}) is None and r1.score_with_tie_break({}) is None
    assert r1.score_with_tie_break({"retrieval.r1": 1.0}) == (1.0, 0.0)
    assert r1.score_with_tie_break({"retrieval.r1": 1.0, "retrieval.margin": 0.2}) == (1.0, 0.2)
    half = {"answers.exact": 0.5, "loss": 2.0}
    assert Objective("answers.exact").score_with_tie_break(half) == (0.5, -2.0)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=15))
def test_ranks_begin_with_the_largest_and_ties_share(values: list[float]) -> None:
    assert ranks(values) == pytest.approx(list(rankdata([-value for value in values])))
