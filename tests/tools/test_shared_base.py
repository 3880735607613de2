"""The shared base, made of two languages of the phrasebook on the embedded models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import llink_ray
from llink_ray.bundles.base import BASE, as_language, check_start, load_modules
from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import BundleInfo
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.models.locate import fingerprint
from llink_ray.settings import Settings
from llink_ray.settings.configure import preset, resolve
from llink_ray.text.languages import find
from llink_ray.tools import shared_base
from llink_ray.tools.base_text import read_text
from llink_ray.training.stage_b import StageB

RECIPE = [
    "slots={variant: pooled, count: 20, letters_per_slot: 3, hidden: 32}",
    "stage_a={steps: 6, batch_size: 32, queue: 0, hard_negatives: 0, warmup_steps: 1}",
    "stage_b={steps: 4, batch_size: 8, passage_share: 0, contrastive_weight: 0.1, words_in_order_weight: 0}",
    "stage_b.embedding_start={passes: 0.5, batch_size: 64, negatives: 32}",
    "checkpoint.every_steps=2",
]


def make(
    folder: Path,
    text: Path,
    minutes: float | None = None,
    languages: str = "bo,km",
    further: tuple[str, ...] = (),
    english: float = 1.0,
) -> None:
    shared_base.main(
        text=[text],
        languages=languages,
        output=folder / "base",
        work=folder / "work",
        pairs=100,
        questions=6,
        english=english,
        preset="tiny",
        assign=[*RECIPE, *further],
        threads=torch.get_num_threads(),
        about="a phrasebook",
        minutes=minutes,
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for code in ("bo", "km"):
        rows = [f"{pair.english}\t{pair.foreign}\n" for pair in phrasebook.pairs(code, 1_200, seed=3)]
        (folder / f"{code}.tsv").write_text("english\tforeign\n" + "".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder, text)
    return folder


def weights(bundle: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(bundle.rglob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            tensors |= {f"{file.name}:{name}": opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return tensors


def test_it_answers_in_each_language(made: Path, tmp_path: Path) -> None:
    info = read_bundle(made / "base")
    assert info.language == "mul" and info.parent is None
    assert {tensor.dtype for tensor in weights(made / "base").values()} == {torch.float16}
    card = (made / "base" / "README.md").read_text("utf-8")
    assert "Text: a phrasebook." in card and "bo 100" in card and "km 100" in card and "4 steps" in card
    for code in ("bo", "km"):
        bundle = as_language(made / "base", find(code), tmp_path / code)
        own = read_bundle(bundle)
        assert (own.language, own.parent) == (code, info.digest)
        pipeline = llink_ray.load(bundle)
        assert isinstance(pipeline.translate(phrasebook.pairs(code, 1)[0].foreign), str)


def test_a_stopped_one_goes_on_to_the_same(made: Path, text: Path, tmp_path: Path) -> None:
    make(tmp_path, text, minutes=0.0)  # what comes before the first step, and no step
    assert json.loads((tmp_path / "base" / "metrics.json").read_text())["base"]["steps"] == 0
    before = weights(tmp_path / "base")
    make(tmp_path, text)
    whole, resumed = weights(made / "base"), weights(tmp_path / "base")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert any(not torch.equal(before[name], resumed[name]) for name in before if name.startswith("slots"))


def test_one_base_goes_on_from_another(made: Path, text: Path, tmp_path: Path) -> None:
    start = f"init_from={made / 'base'}"
    make(tmp_path, text, minutes=0.0, further=(start, "deepspeed.bf16=true"))
    before, after = weights(made / "base"), weights(tmp_path / "base")
    # Adapters are held in bfloat16, with copies in float32 for the optimizer.
    assert all(torch.allclose(before[name], after[name], rtol=0.01, atol=1e-4) for name in before)
    assert "going on from a base that had seen 32," in (tmp_path / "base" / "README.md").read_text("utf-8")
    make(tmp_path, text, further=(start, "deepspeed.bf16=true"))
    trained = weights(tmp_path / "base")
    assert any(not torch.equal(after[name], trained[name]) for name in after)
    assert read_bundle(tmp_path / "base").parent == read_bundle(made / "base").digest


def test_an_interrupted_one_goes_on_to_the_same(
    made: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = StageB.advance

    def interrupted(stage: StageB) -> Any:
        if stage.step == 3:
            raise KeyboardInterrupt
        return advance(stage)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StageB, "advance", interrupted)
        make(tmp_path, text)
    assert not (tmp_path / "base").exists()
    make(tmp_path, text)
    whole, resumed = weights(made / "base"), weights(tmp_path / "base")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_english_of_a_part_of_the_pairs(made: Path, text: Path, tmp_path: Path) -> None:
    few = ("stage_b.steps=2",)
    make(tmp_path, text, further=few, english=0.25)
    make(tmp_path / "none", text, further=few, english=0.0)
    some, none = weights(tmp_path / "base"), weights(tmp_path / "none" / "base")
    assert any(not torch.equal(some[name], none[name]) for name in some)


def test_a_folder_of_work_belongs_to_one_recipe(made: Path, text: Path) -> None:
    with pytest.raises(Exception, match="another recipe"):
        make(made, text, languages="bo")


def test_held_out_sentences_of_one_language_are_in_no_others_training(text: Path, tmp_path: Path) -> None:
    # Both files hold the same English; what bo tests with, km may not show to the base.
    shared = [pair.english for pair in phrasebook.pairs("bo", 300, seed=3)]
    folder = tmp_path / "text"
    folder.mkdir()
    for code in ("bo", "km"):
        pairs = phrasebook.pairs(code, 300, seed=3)
        rows = [f"{english}\t{pair.foreign}\n" for english, pair in zip(shared, pairs, strict=True)]
        (folder / f"{code}.tsv").write_text("english\tforeign\n" + "".join(rows), encoding="utf-8")
    from llink_ray.corpus import prepare
    from llink_ray.settings import configure

    settings = configure.resolve(*configure.layers("tiny", None, RECIPE))
    both = read_text([folder], ["bo", "km"], 1_000, settings)
    used = {pair.english for pair in (*both.train, *both.validation)}
    for code in ("bo", "km"):
        corpus = settings.corpus.model_copy(update={"path": str(folder / f"{code}.tsv")})
        splits = prepare(find(code), corpus, 0).splits
        assert splits.test and used.isdisjoint(pair.english for pair in (*splits.test, *splits.validation))


def fingerprints(settings: Settings) -> dict[str, str]:
    return {part: fingerprint(getattr(settings, part).model, None, part) for part in ("encoder", "decoder")}


def started(base: Path, **changes: Any) -> BundleInfo | None:
    settings = Settings.model_validate(read_bundle(base).settings | {"init_from": str(base)})
    for section, values in changes.items():
        settings = settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})
    return check_start(settings, fingerprints(settings))


def test_a_run_starts_only_from_modules_that_fit(made: Path) -> None:
    base = made / "base"
    info = started(base)
    assert info is not None and info.digest == read_bundle(base).digest
    assert started(base, lora={"dropout": 0.4}) and started(base, slots={"letters_per_slot": 9.0})
    for section, key, value in (("slots", "hidden", 64), ("lora", "rank", 3), ("encoder", "prompt", "q: ")):
        with pytest.raises(LlinkError, match=rf"{section}\.{key}"):
            started(base, **{section: {key: value}})
    settings = Settings.model_validate(read_bundle(base).settings | {"init_from": str(base)})
    with pytest.raises(LlinkError, match="another decoder"):
        check_start(settings, fingerprints(settings) | {"decoder": "0" * 64})
    small = resolve(preset("small"), {"init_from": BASE})
    with pytest.raises(LlinkError, match=r"other weights of intfloat/.* \(4-bit .* than those here"):
        check_start(small, {"encoder": "0" * 64, "decoder": "0" * 64})
    with pytest.raises(LlinkError, match="not a bundle"):
        check_start(settings.model_copy(update={"init_from": str(made / "work")}), fingerprints(settings))
    assert check_start(settings.model_copy(update={"init_from": None}), fingerprints(settings)) is None


def test_modules_take_the_weights(made: Path, tmp_path: Path) -> None:
    from llink_ray.models.decoder import Decoder
    from llink_ray.models.llink import new_slots, with_lora

    settings = Settings.model_validate(read_bundle(made / "base").settings)
    decoder = Decoder.load(settings.decoder)
    slots = new_slots(decoder, settings, 192)
    adapted = with_lora(decoder.model, settings.lora)
    load_modules(made / "base", None, slots, adapted)
    bundle = as_language(made / "base", find("bo"), tmp_path / "bo")
    expected = llink_ray.load(bundle).model
    ours = {name: p for name, p in adapted.named_parameters() if "lora" in name}
    theirs = dict(expected.decoder.named_parameters())
    assert ours and all(torch.equal(p, theirs[name]) for name, p in ours.items())
    assert all(
        torch.equal(p, q) for p, q in zip(slots.parameters(), expected.slots.parameters(), strict=True)
    )
