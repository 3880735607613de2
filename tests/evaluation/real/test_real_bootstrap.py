"""Intervals, shares of the way, and what decides."""

from __future__ import annotations

import numpy as np
import pytest
from model_zoo import PAIRS

from llink_ray.evaluation.real.collect import Figure
from llink_ray.evaluation.real.settings import MeasureSettings
from llink_ray.evaluation.real.shares import told
from llink_ray.evaluation.real.translating import Measured, mean_of
from llink_ray.metrics.bootstrap import Resampled, means, ratio, share_of_the_way, stands_clear

COUNT = 400


def hits(share: float) -> list[float]:
    """1 for the first ``share`` of the examples: systems made so are right on each other's examples."""
    return [float(i < share * COUNT) for i in range(COUNT)]


def test_an_interval_holds_the_figure_and_shrinks_with_the_examples() -> None:
    few = Resampled(40, 0, 2_000).curve(means(hits(0.5)[180:220]), ratio).estimate
    many = Resampled(COUNT, 0, 2_000).curve(means(hits(0.5)), ratio).estimate
    assert few.value == many.value == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    # The normal approximation, at this size good to a percent or so.
    assert many.high - many.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / COUNT), rel=0.1)


def test_same_seed_same_interval() -> None:
    a, b, c = (Resampled(COUNT, seed, 500).curve(means(hits(0.3)), ratio).estimate for seed in (1, 1, 2))
    assert a == b != c


def test_differences_are_paired() -> None:
    drawn = Resampled(COUNT, 0, 2_000)
    low, high = drawn.curve(means(hits(0.5)), ratio), drawn.curve(means(hits(0.6)), ratio)
    paired = high.minus(low).estimate
    assert paired.value == pytest.approx(0.1)
    assert paired.low > 0.07  # unpaired, it would reach down to .03
    nothing = low.minus(low).estimate
    assert nothing.low == nothing.value == nothing.high == 0


def test_the_share_of_the_way() -> None:
    drawn = Resampled(COUNT, 0, 2_000)
    floor, middle, ceiling = (drawn.curve(means(hits(share)), ratio) for share in (0.2, 0.5, 0.8))
    share = share_of_the_way(middle, floor, ceiling)
    assert share.value == pytest.approx(0.5) and 0.4 < share.low < 0.5 < share.high < 0.6
    assert share_of_the_way(floor, floor, ceiling).high == 0
    assert share_of_the_way(ceiling, floor, ceiling).low == 1
    with pytest.raises(ValueError, match="not above"):
        share_of_the_way(middle, ceiling, floor)


@pytest.mark.parametrize(
    ("floor", "ceiling", "clear"),
    [(0.2, 0.8, True), (0.5, 0.52, False), (0.5, 0.5, False), (0.8, 0.2, False)],
)
def test_a_ceiling_stands_clear_of_the_floor_or_does_not(floor: float, ceiling: float, clear: bool) -> None:
    drawn = Resampled(COUNT, 0, 1_000)
    low, high = (drawn.curve(means(hits(share)), ratio) for share in (floor, ceiling))
    assert stands_clear(high, low, 1.0) is clear
    # A difference of half a point in a hundred is none, however sure.
    assert not stands_clear(high, low, 100.0)


def test_another_number_of_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="399 examples where 400 are drawn"):
        Resampled(COUNT, 0, 100).curve(means(hits(0.5)[:-1]), ratio)


ROLES = {"floor": "floor", "ceiling": "ceiling", "english": "trained_ceiling", "ours": "bundle"}


def figure_of(**shares: float) -> Figure:
    systems: dict[str, Measured] = {name: mean_of(hits(share)) for name, share in shares.items()}
    return Figure("near_miss", "accuracy", range(COUNT), systems, by_source=True)


def test_shares_are_told_for_clear_ceilings_alone() -> None:
    pairs = PAIRS[:1] * COUNT
    settings = MeasureSettings(draws=500)
    both = told(figure_of(floor=0.2, ceiling=0.8, english=0.9, ours=0.5), ROLES, pairs, settings)
    assert both["decides"] is True and "by_source" not in both
    assert both["shares"]["ours"]["ceiling"]["value"] == pytest.approx(0.5)
    assert both["shares"]["ours"]["english"]["value"] == pytest.approx(3 / 7)
    one = told(figure_of(floor=0.2, ceiling=0.21, english=0.9, ours=0.5), ROLES, pairs, settings)
    assert one["decides"] is True and list(one["shares"]["ours"]) == ["english"]
    assert [one["gaps"][name]["clear"] for name in ("ceiling", "english")] == [False, True]
    none = told(figure_of(floor=0.2, ceiling=0.21, ours=0.5), ROLES, pairs, settings)
    assert none["decides"] is False and none["shares"] == {"ours": {}}


def test_sources_are_told_apart() -> None:
    from dataclasses import replace

    pairs = [replace(PAIRS[0], source="news" if i < COUNT / 2 else "") for i in range(COUNT)]
    found = told(figure_of(floor=0.2, ceiling=0.8, ours=0.5), ROLES, pairs, MeasureSettings(draws=500))
    news, unknown = (found["by_source"][name] for name in ("news", "unknown"))
    assert news["examples"] == unknown["examples"] == COUNT / 2
    assert news["systems"]["ours"]["value"] == 1 and unknown["systems"]["ours"]["value"] == 0
    assert found["systems"]["ours"]["value"] == 0.5
