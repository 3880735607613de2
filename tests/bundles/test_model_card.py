"""The model card: figures, and where they come from."""

from __future__ import annotations

import re

import pytest
from bundle_files import METRICS, make_info

from llink_ray.bundles.model_card import model_card


def row(card: str, title: str) -> list[str]:
    lines = [line for line in card.splitlines() if line.startswith(f"| {title} |")]
    assert len(lines) == 1, (title, lines)
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[0])[2:-1]]


def test_the_card_carries_the_figures_and_where_they_come_from() -> None:
    card = model_card(make_info(seed=11), METRICS)
    assert row(card, "decoder on raw text") == ["0.002", "0.010", "0.020", "0.010", "256.000"]
    assert row(card, "Stage A+B") == ["0.742", "0.953", "0.984", "0.833", "1.800"]
    assert row(card, "all") == ["0.914", "0.945"]
    assert row(card, "numbers") == ["0.996", "–"]
    assert row(card, "who") == ["0.970", "–"]
    assert row(card, "how\\|many") == ["0.990", "–"]
    assert row(card, "slot gain, slots zeroed (nats)") == ["1.234"]
    assert row(card, "slot gain, slots shuffled (nats)") == ["0.567"]
    assert row(card, "decoder tokens a message, raw text") == ["104.000"]
    assert row(card, "pairs dropped") == ["12"]
    assert row(card, "seed") == ["11"]
    assert row(card, "corpus hash") == ["c0ffee"]
    assert "org/decoder at abc" in row(card, "decoder")[0]
    assert "llink_ray.load(" in card and "Tibetan (bo)" in card


def test_every_table_of_the_card_is_well_formed() -> None:
    widths: list[int] = []
    for line in [*model_card(make_info(), METRICS).splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.split(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"retrieval": {}},
        {"retrieval": None, "answers": {"by_type": None}},
        {"answers": {"by_type": {"who": {"exact": 0.5, "f1": 0.6, "count": 3}}}},
        {"corpus": {"dropped": 3}},
    ],
)
def test_the_card_copes_with_missing_figures(metrics: dict[str, object]) -> None:
    card = model_card(make_info(), metrics)
    assert row(card, "Stage A") == ["–"] * 5
    assert row(card, "all") == ["–", "–"]
    if "who" in str(metrics):
        assert row(card, "who") == ["0.500", "0.600"]
    if "corpus" in metrics:
        assert row(card, "pairs dropped") == ["3"]
