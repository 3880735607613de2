"""Search spaces: the shipped ones fit, and what is wrong with a person's own is said before any trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llink_ray.errors import LlinkError
from llink_ray.settings import configure
from llink_ray.sweeps.space import Parameter, SearchSpace, choice, integer, load, nested, real

SPACES = Path(__file__).parents[2] / "tune_spaces"
NAMES = sorted(file.stem for file in SPACES.glob("*.py"))
TINY = configure.layers("tiny", None, [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["tiny", "tiny-paper-recipe", "paper", "real", "small-paper-recipe"])
def test_shipped_spaces_fit_every_preset_and_say_why(name: str, preset: str) -> None:
    space = load(name, SPACES)
    space.check(*configure.layers(preset, None, []))
    assert all(len(d.why) > 20 and d.why.endswith((".", "?")) for d in space.parameters.values())
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_there_are_the_named_spaces() -> None:
    assert {"projector", "slots", "joint", "smoke"} <= set(NAMES)


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({"projector.hiden": integer(1, 2, why="")}, "did you mean projector.hidden"),
        ({"hidden": integer(1, 2, why="")}, "did you mean slots.hidden or projector.hidden"),
        ({"slots.count": integer(0, 8, why="")}, "slots.count = 0"),
        ({"projector.dropout": real(0.0, 1.0, why="")}, "projector.dropout"),
        ({"slots.variant": choice("mean", "median", why="")}, "median"),
        ({"stage_a.queue": choice(0, 64, why="")}, "hard_negatives"),
        ({"corpus.pairs": integer(10, 20, why="")}, "cannot be searched"),
        ({"seed": integer(0, 5, why="")}, "cannot be searched"),
        ({"encoder.max_characters": integer(10, 20, why="")}, "choice"),
    ],
)
def test_what_the_settings_refuse_is_refused(ranges: dict[str, Parameter], said: str) -> None:
    with pytest.raises(LlinkError, match="space own: ") as refused:
        SearchSpace("own", ranges).check(*TINY)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SPACE = {", "SyntaxError"),
        ("raise RuntimeError('no luck')", "no luck"),
        ("SPACE = {}", "no mapping SPACE"),
        ("OTHER = 1", "no mapping SPACE"),
        ("SPACE = {'slots.count': [1, 2]}", "write choice"),
        ("SPACE = {'slots.count': choice(why='')}", "one or more elements"),
        ("SPACE = {'lora.targets': choice([1], why='')}", "no number"),
        ("SPACE = {'lora.alpha': real(2, 1, why='')}", "line 2, cannot be read .*low <= high"),
        ("SPACE = {'lora.alpha': real(0, 1, log=True, why='')}", "low > 0"),
    ],
)
def test_a_persons_own_file_is_looked_at(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"from llink_ray.sweeps import choice, real\n{text}\n")
    with pytest.raises(LlinkError, match=rf"own\.py.*{said}"):
        load(str(file), SPACES)


def test_spaces_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="choose one of joint, projector, slots, smoke"):
        load("projektor", SPACES)
    with pytest.raises(LlinkError, match="does not exist"):
        load(str(tmp_path / "none.py"), SPACES)


def test_models_are_every_combination_of_their_choices() -> None:
    ranges = {
        "encoder.pooling": choice("mean", "cls", why=""),
        "decoder.max_teacher_tokens": choice(32, 64, why=""),
        "slots.count": integer(1, 8, why=""),
    }
    assert len(list(SearchSpace("own", ranges).frozen_model_configs())) == 4
    assert list(SearchSpace("own", {"slots.count": integer(1, 8, why="")}).frozen_model_configs()) == [{}]


def test_dots_become_a_nested() -> None:
    assert nested({"slots.count": 4, "slots.variant": "mean", "stage_b.usage.every": 2}) == {
        "slots": {"count": 4, "variant": "mean"},
        "stage_b": {"usage": {"every": 2}},
    }
