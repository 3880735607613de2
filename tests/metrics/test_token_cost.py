from __future__ import annotations

import pytest

from llink_ray.metrics.token_cost import token_cost


def test_means_and_their_ratio() -> None:
    assert token_cost([90, 110, 400], [20, 30, 50]) == {
        "raw": 200.0,
        "slots": pytest.approx(100 / 3),
        "ratio": 6.0,
        "count": 3,
    }


def test_no_messages() -> None:
    assert token_cost([], []) == {"raw": None, "slots": None, "ratio": None, "count": 0}


def test_no_slot_tokens_have_no_ratio() -> None:
    assert token_cost([4], [0])["ratio"] is None


def test_counts_must_pair_up() -> None:
    with pytest.raises(ValueError, match="2 raw and 1 slot"):
        token_cost([1, 2], [1])
