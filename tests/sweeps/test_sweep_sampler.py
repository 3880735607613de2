"""Suggestions: inside the space, the same for the same seed, and told what is known."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from llink_ray.errors import LlinkError
from llink_ray.sweeps.sampler import suggest
from llink_ray.sweeps.space import SearchSpace, choice, integer, real

SPACE = SearchSpace(
    "own",
    {
        "slots.count": integer(1, 32, log=True, why=""),
        "projector.hidden": integer(64, 512, step=64, why=""),
        "projector.dropout": real(0.0, 0.3, step=0.1, why=""),
        "stage_a.learning_rate": real(1e-4, 1e-1, log=True, why=""),
        "slots.variant": choice("mean", "resampler", why=""),
        "encoder.pooling": choice(None, "cls", why=""),
    },
)


def known_trial(config: dict[str, Any], state: TrialState, values: list[float] | None = None) -> FrozenTrial:
    """An earlier trial of SPACE."""
    steps = {1: 0.1} if state == TrialState.PRUNED else None
    return create_trial(
        params=config,
        distributions=SPACE.distributions,
        state=state,
        values=values,
        intermediate_values=steps,
    )


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_values_lie_in_the_space_and_keep_their_kind(algorithm: str) -> None:
    drawn = [suggest(SPACE, algorithm, 0, number, []) for number in range(40)]
    for config in drawn:
        assert set(config) == set(SPACE.parameters)
        assert isinstance(config["slots.count"], int) and 1 <= config["slots.count"] <= 32
        assert config["projector.hidden"] % 64 == 0
        assert round(config["projector.dropout"] * 10) == pytest.approx(config["projector.dropout"] * 10)
    small = sum(config["slots.count"] <= 5 for config in drawn)
    assert 10 <= small <= 30, "by ratio, half of 1 to 32 lies below 6"
    assert {config["encoder.pooling"] for config in drawn} == {None, "cls"}


def test_a_suggestion_is_its_seed_its_number_and_what_is_known() -> None:
    known = [
        known_trial(suggest(SPACE, "random", 0, n, []), TrialState.COMPLETE, [n / 10]) for n in range(12)
    ]
    assert suggest(SPACE, "tpe", 3, 12, known) == suggest(SPACE, "tpe", 3, 12, known)
    assert suggest(SPACE, "tpe", 3, 12, known) != suggest(SPACE, "tpe", 4, 12, known)
    assert suggest(SPACE, "tpe", 3, 12, known) != suggest(SPACE, "tpe", 3, 12, known[:-1])
    assert suggest(SPACE, "random", 3, 12, known) == suggest(SPACE, "random", 3, 12, [])


def test_a_grid_is_every_combination_once() -> None:
    ranges = {
        "slots.count": choice(1, 4, why=""),
        "lora.rank": integer(2, 6, step=2, why=""),
        "projector.dropout": real(0.0, 0.2, step=0.1, why=""),
    }
    space = SearchSpace("own", ranges)
    found = [suggest(space, "grid", 0, number, []) for number in range(18)]
    assert len({tuple(one.items()) for one in found}) == 18 == len(space.grid())
    assert found[0] == {"slots.count": 1, "lora.rank": 2, "projector.dropout": 0.0}
    assert {one["lora.rank"] for one in found} == {2, 4, 6}
    assert max(one["projector.dropout"] for one in found) == pytest.approx(0.2)
    with pytest.raises(LlinkError, match=r"learning_rate is 0\.1 to 1, any number"):
        SearchSpace("own", {"stage_a.learning_rate": real(0.1, 1.0, why="")}).grid()


def test_every_outcome_can_be_told() -> None:
    config = suggest(SPACE, "random", 0, 0, [])
    known = [
        known_trial(config, TrialState.COMPLETE, [0.5]),
        *(known_trial(config, state) for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)),
    ] * 4
    assert set(suggest(SPACE, "tpe", 0, 16, known)) == set(SPACE.parameters)
    several = [known_trial(config, TrialState.COMPLETE, [0.5, -3.0])] * 12
    assert set(suggest(SPACE, "tpe", 0, 12, several, objectives=2)) == set(SPACE.parameters)
