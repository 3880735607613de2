"""Who can be compared, and with which settings each is trained."""

from __future__ import annotations

import pytest

from llink_ray.errors import LlinkError
from llink_ray.evaluation.baselines import BASE, expand, groups, known, settings_of
from llink_ray.settings import Settings, configure

TRAINED = [name for name in known() if name != BASE]


def ours(preset: str = "tiny", *assignments: str) -> Settings:
    return configure.resolve(*configure.layers(preset, None, list(assignments)))


def flat(settings: Settings) -> dict[str, object]:
    found: dict[str, object] = {}
    for key in configure.all_keys(Settings):
        value: object = settings
        for part in key.split("."):
            value = getattr(value, part)
        found[key] = value
    return found


def test_groups_open_up_and_names_count_once() -> None:
    assert (
        expand("baselines") == list(groups()["baselines"]) == ["base", "finetune", "english", "paper-recipe"]
    )
    assert expand(" K4 , baselines, k4") == ["k4", "base", "finetune", "english", "paper-recipe"]
    assert set(expand("baselines,ablations")) == set(known())
    assert expand("") == []


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(LlinkError, match=r"'finetuned'.*finetune"):
        expand("base,finetuned")
    with pytest.raises(LlinkError, match="choose among baselines, ablations, base"):
        expand("xyzzy")


@pytest.mark.parametrize("name", TRAINED)
def test_every_baseline_differs_from_ours_and_says_in_what(name: str) -> None:
    mine, theirs = flat(ours()), flat(settings_of(name, ours()))
    differing = {key for key in mine if mine[key] != theirs[key]}
    assert differing
    assert len(known()[name]["is"]) > 5
    if name != "paper-recipe":  # one part, and what cannot stand without it
        assert len({key.split(".")[0] for key in differing}) <= (3 if name in ("finetune", "english") else 2)


@pytest.mark.parametrize("preset", ["tiny", "real"])
def test_all_share_models_data_and_compute(preset: str) -> None:
    models = ["encoder.model=some/encoder", "decoder.model=some/decoder", "corpus.path=x.tsv", "seed=7"]
    mine = ours(preset, *models, "stage_b.steps=123")
    for name in TRAINED:
        theirs = settings_of(name, mine)
        for part in ("encoder", "decoder", "corpus", "evaluation", "cluster", "seed"):
            assert getattr(theirs, part) == getattr(mine, part), (name, part)
        assert theirs.stage_b.steps == 123
        assert theirs.stage_b.batch_size == mine.stage_b.batch_size
        assert theirs.lora.rank == mine.lora.rank


def test_the_papers_recipe_is_the_one_made_for_the_preset() -> None:
    assert settings_of("paper-recipe", ours()).preset == "tiny-paper-recipe"
    assert settings_of("paper-recipe", ours("small")).preset == "small-paper-recipe"
    real = settings_of("paper-recipe", ours("real", "decoder.model=d", "encoder.model=e"))
    assert real.preset == "paper" and real.slots.variant == "mean" and not real.slots.numerals


def test_fine_tuning_reads_raw_text() -> None:
    theirs = settings_of("finetune", ours())
    assert theirs.slots.variant == "none" and not theirs.stage_a.enabled
    assert theirs.stage_b.lora_learning_rate == ours().stage_b.lora_learning_rate


def test_the_ceiling_differs_from_fine_tuning_in_the_text_alone() -> None:
    tuned, ceiling = (flat(settings_of(name, ours())) for name in ("finetune", "english"))
    assert {key for key in tuned if tuned[key] != ceiling[key]} == {"stage_b.source"}
