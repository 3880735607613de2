"""Intervals, shares of the way, and what decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from model_zoo import PAIRS

from llink_ray.evaluation.held_out.figure_document import figure_document
from llink_ray.evaluation.held_out.figures import Figure
from llink_ray.evaluation.held_out.settings import MeasureSettings
from llink_ray.evaluation.held_out.translation import FigureStatistics, mean_of
from llink_ray.metrics.intervals import PairedBootstrap, gap_recovered, is_clear_gap, means, wilson

COUNT = 400


def hits(share: float) -> list[float]:
    """1 for the first ``share`` of the examples: systems made so are right on each other's examples."""
    return [float(i < share * COUNT) for i in range(COUNT)]


def test_an_interval_holds_the_figure_and_shrinks_with_the_examples() -> None:
    few = PairedBootstrap(40, 0, 2_000).resample(means(hits(0.5)[180:220])).estimate
    many = PairedBootstrap(COUNT, 0, 2_000).resample(means(hits(0.5))).estimate
    assert few.value == many.value == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    # The normal approximation, at this size good to a percent or so.
    assert many.high - many.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / COUNT), rel=0.1)


def test_same_seed_same_interval() -> None:
    a, b, c = (PairedBootstrap(COUNT, seed, 500).resample(means(hits(0.3))).estimate for seed in (1, 1, 2))
    assert a == b != c


def test_differences_are_paired() -> None:
    drawn = PairedBootstrap(COUNT, 0, 2_000)
    low, high = drawn.resample(means(hits(0.5))), drawn.resample(means(hits(0.6)))
    paired = high.minus(low).estimate
    assert paired.value == pytest.approx(0.1)
    assert paired.low > 0.07  # unpaired, it would reach down to .03
    nothing = low.minus(low).estimate
    assert nothing.low == nothing.value == nothing.high == 0


def test_the_share_of_the_way() -> None:
    drawn = PairedBootstrap(COUNT, 0, 2_000)
    floor, middle, ceiling = (drawn.resample(means(hits(share))) for share in (0.2, 0.5, 0.8))
    share = gap_recovered(middle, floor, ceiling)
    assert share.value == pytest.approx(0.5) and 0.4 < share.low < 0.5 < share.high < 0.6
    assert gap_recovered(floor, floor, ceiling).high == 0
    assert gap_recovered(ceiling, floor, ceiling).low == 1
    with pytest.raises(ValueError, match="not above"):
        gap_recovered(middle, ceiling, floor)


@pytest.mark.parametrize(
    ("floor", "ceiling", "clear"),
    [(0.2, 0.8, True), (0.5, 0.52, False), (0.5, 0.5, False), (0.8, 0.2, False)],
)
def test_a_ceiling_stands_clear_of_the_floor_or_does_not(floor: float, ceiling: float, clear: bool) -> None:
    drawn = PairedBootstrap(COUNT, 0, 1_000)
    low, high = (drawn.resample(means(hits(share))) for share in (floor, ceiling))
    assert is_clear_gap(high, low, 1.0) is clear
    # A difference of half a point in a hundred is none, however sure.
    assert not is_clear_gap(high, low, 100.0)


def test_another_number_of_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="399 examples where 400 are drawn"):
        PairedBootstrap(COUNT, 0, 100).resample(means(hits(0.5)[:-1]))


ROLES = {"floor": "floor", "ceiling": "ceiling", "english": "trained_ceiling", "ours": "bundle"}


def figure_of(**shares: float) -> Figure:
    systems: dict[str, FigureStatistics] = {name: mean_of(hits(share)) for name, share in shares.items()}
    return Figure("near_miss", "accuracy", range(COUNT), systems, by_source=True)


def test_shares_are_told_for_clear_ceilings_alone() -> None:
    pairs = PAIRS[:1] * COUNT
    settings = MeasureSettings(draws=500)
    both = figure_document(figure_of(floor=0.2, ceiling=0.8, english=0.9, ours=0.5), ROLES, pairs, settings)
    assert both["decides"] is True and "by_source" not in both
    assert both["shares"]["ours"]["ceiling"]["value"] == pytest.approx(0.5)
    assert both["shares"]["ours"]["english"]["value"] == pytest.approx(3 / 7)
    one = figure_document(figure_of(floor=0.2, ceiling=0.21, english=0.9, ours=0.5), ROLES, pairs, settings)
    assert one["decides"] is True and list(one["shares"]["ours"]) == ["english"]
    assert [one["gaps"][name]["clear"] for name in ("ceiling", "english")] == [False, True]
    none = figure_document(figure_of(floor=0.2, ceiling=0.21, ours=0.5), ROLES, pairs, settings)
    assert none["decides"] is False and none["shares"] == {"ours": {}}


def test_sources_are_told_apart() -> None:
    from dataclasses import replace

    pairs = [replace(PAIRS[0], source="news" if i < COUNT / 2 else "") for i in range(COUNT)]
    found = figure_document(
        figure_of(floor=0.2, ceiling=0.8, ours=0.5), ROLES, pairs, MeasureSettings(draws=500)
    )
    news, unknown = (found["by_source"][name] for name in ("news", "unknown"))
    assert news["examples"] == unknown["examples"] == COUNT / 2
    assert news["systems"]["ours"]["value"] == 1 and unknown["systems"]["ours"]["value"] == 0
    assert found["systems"]["ours"]["value"] == 0.5


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (3, 10), (1_020, 1_024)])
def test_wilsons_interval_is_the_formula(right: int, count: int) -> None:
    z, share = 1.959963984540054, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    assert wilson(share, count) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_wilsons_interval_wants_a_share_of_something() -> None:
    for share, count in ((1.1, 10), (-0.1, 10), (0.5, 0)):
        with pytest.raises(ValueError, match="share of 0 to 1"):
            wilson(share, count)
