"""From what a person typed to checked settings: layers in order, and refusals that name the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llink_ray.cluster.command import assignments
from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge.settings import JudgeSettings
from llink_ray.settings import Settings
from llink_ray.settings.configure import (
    all_keys,
    assignment,
    layers,
    load_settings,
    merge,
    preset,
    presets,
    read_file,
    resolve,
)
from serve.settings import ServeSettings


def refusal(*given: Any) -> str:
    with pytest.raises(LlinkError) as error:
        resolve(*given)
    text = str(error.value)
    assert error.value.exit_code == 2 and "\n" not in text and "validation error" not in text
    return text


@pytest.mark.parametrize("name", presets())
def test_every_preset_resolves_and_survives_being_stored(name: str) -> None:
    settings = resolve(*layers(name, None, []))
    assert settings.preset == name
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
    unknown = [key for key in leaves(preset(name)) if key not in all_keys(Settings)]
    assert not unknown


def leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    result = []
    for name, value in tree.items():
        inner = isinstance(value, dict)
        result += leaves(value, f"{prefix}{name}.") if inner else [prefix + name]
    return result


def test_there_are_the_presets_that_people_are_told_of() -> None:
    assert {"tiny", "paper", "tiny-paper-recipe"} <= set(presets())


def test_the_paper_s_figures() -> None:
    """Section 3 and 4 of arXiv 2510.27254, as METHOD has them."""
    paper = resolve(*layers("paper", None, []))
    a, b = paper.stage_a, paper.stage_b
    assert (a.steps, a.warmup_steps, a.batch_size, a.queue, a.hard_negatives) == (
        20_000,
        3_000,
        128,
        32_768,
        256,
    )
    assert (a.learning_rate, a.final_learning_rate, a.betas, a.weight_decay) == (
        1e-3,
        1e-5,
        (0.9, 0.98),
        0.05,
    )
    assert (a.temperature_start, a.temperature_end, a.direction_weight, a.norm_weight) == (
        0.17,
        0.08,
        0.05,
        0.02,
    )
    assert (b.lora_learning_rate, b.slot_learning_rate, b.scale_learning_rate) == (1e-4, 3e-5, 5e-4)
    assert (b.cosine_weight, b.contrastive_weight, b.contrastive_temperature) == (0.05, 1e-3, 0.07)
    assert (b.bag_of_words_weight, b.words_in_order_weight, b.usage.every, b.warmup_fraction) == (
        0.1,
        0,
        3,
        0.15,
    )
    assert (paper.lora.rank, paper.lora.alpha, paper.lora.dropout) == (16, 16, 0.05)
    assert (paper.slots.count, paper.slots.variant, paper.slots.numerals) == (8, "mean", False)
    assert (paper.projector.hidden, paper.projector.depth, paper.projector.dropout) == (3_072, 1, 0.1)


def test_an_unknown_preset() -> None:
    with pytest.raises(LlinkError, match=r"no preset 'tinny': choose one of .*tiny"):
        layers("tinny", None, [])


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("slots: {count: 5}\nstage_a: {steps: 7}\n", encoding="utf-8")
    settings = resolve(*layers("tiny", str(file), ["stage_a.steps=9", "seed=3", "stage_a.steps=11"]))
    base = resolve(preset("tiny"))
    assert settings.slots.count == 5  # the file's
    assert settings.stage_a.steps == 11  # the last flag's
    assert settings.seed == 3
    assert settings.slots.heads == base.slots.heads  # the preset's, untouched beside what was changed
    assert settings.stage_a.batch_size == base.stage_a.batch_size
    only_file = resolve(*layers("tiny", str(file), []))
    assert only_file.stage_a.steps == 7


def test_merge_changes_neither_side() -> None:
    base, over = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}, "c": 4}
    assert merge(base, over) == {"a": {"x": 1, "y": 5}, "b": 3, "c": 4}
    assert base == {"a": {"x": 1, "y": 2}, "b": 3} and over == {"a": {"y": 5}, "c": 4}


@pytest.mark.parametrize("count", [0, -1, 10_000])
def test_an_impossible_number_of_slots(count: int) -> None:
    text = refusal({"slots": {"count": count}})
    assert text.startswith(f"slots.count = {count}: ")
    assert ("256" in text) == (count > 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slots": {"cuont": 8}}, ["'slots.cuont'", "slots.count"]),
        ({"stage_a": {"learnin_rate": 1}}, ["'stage_a.learnin_rate'", "stage_a.learning_rate"]),
        ({"learning_rate": 1}, ["'learning_rate'", "stage_a.learning_rate"]),
        ({"count": 4}, ["'count'", "slots.count"]),
        ({"stage_b": {"usage": {"evry": 4}}}, ["'stage_b.usage.evry'", "stage_b.usage.every"]),
        ({"xyzzy": 1}, ["'xyzzy'"]),
    ],
)
def test_an_unknown_key_names_its_neighbours(given: dict[str, Any], said: list[str]) -> None:
    text = refusal(given)
    assert "unknown setting" in text and all(part in text for part in said)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"stage_a": {"steps": "many"}}, "stage_a.steps = 'many'"),
        ({"slots": {"variant": "middle"}}, "slots.variant = 'middle'"),
        ({"deepspeed": {"zero_stage": 4}}, "deepspeed.zero_stage = 4"),
        ({"corpus": {"test_fraction": 0.7}}, "corpus.test_fraction = 0.7"),
        ({"slots": 4}, "slots = 4"),
        ({"seed": -1}, "seed = -1"),
        ({"cluster": {"num_workers": 0}}, "cluster.num_workers = 0"),
    ],
)
def test_an_impossible_value_names_its_key(given: dict[str, Any], key: str) -> None:
    assert refusal(given).startswith(f"{key}: ")


def test_all_mistakes_are_told_at_once() -> None:
    text = refusal({"slots": {"count": 0}, "stage_a": {"stepps": 1}})
    assert "slots.count = 0" in text and "'stage_a.stepps'" in text


def test_batches_must_divide_by_the_workers() -> None:
    text = refusal({"cluster": {"num_workers": 3}, "stage_a": {"batch_size": 128}})
    assert "stage_a.batch_size is 128" in text and "cluster.num_workers = 3" in text
    text = refusal(
        {"cluster": {"num_workers": 5}, "stage_a": {"batch_size": 10}, "stage_b": {"batch_size": 12}}
    )
    assert "stage_b.batch_size is 12" in text


def test_hard_negatives_need_a_queue() -> None:
    assert "stage_a.hard_negatives needs a queue" in refusal({"stage_a": {"queue": 0}})
    resolve({"stage_a": {"queue": 0, "hard_negatives": 0}})


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("slots.count=4", {"slots": {"count": 4}}),
        (" slots.count = 4", {"slots": {"count": 4}}),
        ("seed=1", {"seed": 1}),
        ("slots.numerals=false", {"slots": {"numerals": False}}),
        ("corpus.path=", {"corpus": {"path": None}}),
        ("corpus.path=a=b.tsv", {"corpus": {"path": "a=b.tsv"}}),
        ("lora.targets=[q_proj, v_proj]", {"lora": {"targets": ["q_proj", "v_proj"]}}),
        ("stage_a.learning_rate=1.0e-3", {"stage_a": {"learning_rate": 1e-3}}),
        ("stage_b.usage={every: 2, weight: 0.5}", {"stage_b": {"usage": {"every": 2, "weight": 0.5}}}),
    ],
)
def test_assignments(text: str, tree: dict[str, Any]) -> None:
    assert assignment(text) == tree
    resolve(preset("tiny"), tree)


def test_a_learning_rate_as_people_write_it() -> None:
    assert resolve(assignment("stage_a.learning_rate=1e-4")).stage_a.learning_rate == 1e-4


@pytest.mark.parametrize("text", ["slots.count", "=4", "", " = 4"])
def test_an_assignment_without_key_or_sign(text: str) -> None:
    with pytest.raises(LlinkError, match=r"not KEY=VALUE: write e\.g\. --set slots\.count=4"):
        assignment(text)


TEXTS = [
    "query: ",
    "no",
    "1e5",
    "0123",
    "12:30",
    "a: b",
    "null",
    "~x",
    "[a",
    "{a",
    "# a",
    "&a",
    "it's",
    " x ",
    "🙂",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_setting_of_text_is_what_was_typed(text: str) -> None:
    assert resolve(assignment(f"encoder.prompt={text}")).encoder.prompt == text
    given = assignments({"encoder.prompt": text}, None)[0]  # what a flag of its own becomes
    assert resolve(assignment(given)).encoder.prompt == text


@pytest.mark.parametrize("text", ["no", "1e5", "0123", "12:30", "2026-01-01", "0x1F", "1_000"])
def test_text_stays_text_wherever_it_stands(text: str, tmp_path: Path) -> None:
    for key in ("encoder.revision", "corpus.path", "lora.targets", "encoder.model"):
        section, name = key.split(".")
        assert getattr(getattr(resolve(assignment(f"{key}={text}")), section), name) == text
    file = tmp_path / "mine.yaml"
    file.write_text(f"encoder: {{revision: {text}}}\ncorpus: {{held_out_sources: [{text}, b]}}\n")
    settings = resolve(*layers("tiny", str(file), [f"lora.targets=[{text}]"]))
    assert settings.encoder.revision == text
    assert settings.corpus.held_out_sources == (text, "b") and settings.lora.targets == (text,)
    served = load_settings(ServeSettings, None, [f"encoders={{org/model: {text}}}", f"base_name={text}"])
    assert served.encoders == {"org/model": text} and served.base_name == text
    assert load_settings(JudgeSettings, None, [f"model={text}"]).model == text


def test_quotes_are_taken_off_text_and_nothing_stays_nothing() -> None:
    assert resolve(assignment("encoder.prompt='query: '")).encoder.prompt == "query: "
    assert resolve(assignment('encoder.prompt="a\\tb"')).encoder.prompt == "a\tb"
    assert resolve(assignment("encoder.prompt=")).encoder.prompt == ""
    for text in ("", "null", "~"):
        assert (
            resolve({"encoder": {"revision": "x"}}, assignment(f"encoder.revision={text}")).encoder.revision
            is None
        )
    assert resolve(assignment("encoder.revision='null'")).encoder.revision == "null"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("stage_a.steps=0123", 123),
        ("stage_a.steps=1_000", 1_000),
        ("stage_a.steps=1e3", 1_000),
        ("stage_a.learning_rate=1e-4", 1e-4),
        ("stage_a.learning_rate=.5", 0.5),
        ("stage_a.betas=[.9, 9e-1]", (0.9, 0.9)),
        ("stage_a.enabled=no", False),
        ("stage_a.enabled=True", True),
        ("stage_a.passes=null", None),
        ("stage_a.passes=", None),
        ("encoder.layers=[1, 2]", (1, 2)),
        ("encoder.pooling= mean ", "mean"),
        ("encoder.pooling=null", None),
        ("deepspeed.zero_stage=2", 2),
    ],
)
def test_numbers_lists_booleans_and_nothing(given: str, value: object) -> None:
    result: Any = resolve(assignment(given))
    for name in given.partition("=")[0].split("."):
        result = getattr(result, name)
    assert result == value and type(result) is type(value)


@pytest.mark.parametrize("given", ["seed=yes", "seed=1.5", "seed=12:30", "stage_a.enabled=maybe", "slots=4"])
def test_a_value_of_another_type_is_refused_as_it_was_typed(given: str) -> None:
    key, _, value = given.partition("=")
    assert refusal(assignment(given)).startswith((f"{key} = {value!r}: ", f"{key} = {value}: "))


def test_a_mapping_keeps_the_dots_of_its_own_keys() -> None:
    given = ["encoders.org/model-v1.5=/models/v1.5", "encoders.b=c"]
    assert load_settings(ServeSettings, None, given).encoders == {
        "org/model-v1.5": "/models/v1.5",
        "b": "c",
    }


def test_anchors_and_merges_of_yaml_work(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("stage_a: &a {steps: 7}\nstage_b: {<<: *a, batch_size: 4}\n")
    settings = resolve(*layers("tiny", str(file), []))
    assert (settings.stage_a.steps, settings.stage_b.steps, settings.stage_b.batch_size) == (7, 7, 4)
    file.write_text("corpus: &a {held_out_sources: [*a]}\n")  # which holds itself
    assert "corpus.held_out_sources.0" in refusal(read_file(str(file)))


def test_an_assignment_that_is_not_yaml() -> None:
    with pytest.raises(LlinkError, match=r"--set 'lora\.targets=\[a': the value is not YAML"):
        assignment("lora.targets=[a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"slots: {count: 8", "are not YAML"),
        (b"a: b: c", "are not YAML"),
        (b"- 1\n- 2\n", "must be a mapping"),
        (b"just text", "must be a mapping"),
        (b"slots: {prompt: \xff\xfe}", "is not UTF-8"),
    ],
)
def test_a_settings_file_that_cannot_be_used(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(LlinkError, match=said) as error:
        read_file(str(file))
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_settings_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="does not exist"):
        read_file(str(tmp_path / "none.yaml"))
    with pytest.raises(LlinkError, match="is a directory"):
        read_file(str(tmp_path))


def test_a_settings_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 1")

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(LlinkError, match=r"mine\.yaml cannot be read \(Permission denied\)"):
        read_file(str(file))


def test_an_empty_settings_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("# nothing yet\n")
    assert resolve(*layers("tiny", str(file), [])) == resolve(*layers("tiny", None, []))


def test_a_run_s_stored_settings_are_a_settings_file(tmp_path: Path) -> None:
    import yaml

    before = resolve(*layers("tiny-paper-recipe", None, ["seed=5"]))
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(before.model_dump(mode="json")), encoding="utf-8")
    assert resolve(*layers("tiny", str(file), [])) == before


def test_every_key_is_listed_once_and_reaches_a_field() -> None:
    keys = all_keys(Settings)
    assert len(keys) == len(set(keys)) > 50
    assert {"seed", "slots.count", "stage_b.usage.margin", "encoder.pooling"} <= set(keys)
    for key in keys:
        value: Any = Settings()
        for name in key.split("."):
            value = getattr(value, name)
        assert not isinstance(value, BaseModel)


def test_english_stands_in_the_prompt_as_text() -> None:
    text = refusal({"stage_b": {"source": "english"}})
    assert "stage_b.source=english" in text and "add slots.variant=none" in text
    settings = resolve({"stage_b": {"source": "english"}, "slots": {"variant": "none"}})
    assert settings.stage_b.source == "english"


def test_held_out_sources_are_a_list() -> None:
    given = assignment("corpus.held_out_sources=[tico19,hornmt]")
    assert resolve(given).corpus.held_out_sources == ("tico19", "hornmt")
    text = refusal(assignment("corpus.held_out_sources=tico19"))
    assert text.startswith("corpus.held_out_sources = 'tico19': write a list, [tico19]")
    for alone in ("no", "1e5", "0123"):
        text = refusal(assignment(f"corpus.held_out_sources={alone}"))
        assert text == f"corpus.held_out_sources = '{alone}': write a list, [{alone}]"
