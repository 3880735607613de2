"""Adapters by row give what PEFT gives for each of them alone, and come and go while rows are decoded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from engine_fixtures import TrainedLanguage, trained_language
from model_zoo import FAMILIES, write_decoder
from peft import PeftModel
from safetensors.torch import load_file, save_file

from llink_ray.engine.adapter_pool import AdapterPool
from llink_ray.engine.lora_file import CONFIG, WEIGHTS
from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder

LanguagesOn = Callable[[str], list[TrainedLanguage]]
IDS = torch.arange(5, 17)[None]  # (1, 12)


def plain(one: TrainedLanguage) -> Decoder:
    return Decoder.load(one.pipeline.settings.decoder)


@torch.no_grad()
def logits(model: torch.nn.Module, rows: int = 1) -> torch.Tensor:
    made: torch.Tensor = model(input_ids=IDS.expand(rows, -1)).logits
    return made


def hooked(model: torch.nn.Module) -> list[str]:
    return [name for name, layer in model.named_modules() if layer._forward_hooks]


@pytest.mark.parametrize("family", [*FAMILIES, "embedded"])
def test_rows_are_as_with_peft(languages_on: LanguagesOn, family: str) -> None:
    languages = languages_on(family)
    model = plain(languages[0]).model
    alone = [logits(model), *(logits(one.pipeline.model.decoder) for one in languages)]
    pool = AdapterPool(model)
    for one in languages:
        pool.load(one.name, one.lora)
    with pool.activate([pool.acquire(name) for name in ("am", None, "bo", "km", "bo")]):
        together = logits(model, 5)
    for row, place in zip(together, (3, 0, 1, 2, 1), strict=True):
        assert (row - alone[place][0]).abs().max() < 1e-4
    assert min((a - b).abs().max() for i, a in enumerate(alone) for b in alone[:i]) > 1e-2
    assert torch.equal(logits(model), alone[0])  # outside, the decoder as it came
    assert not any(model.get_output_embeddings() is model.get_submodule(name) for name in hooked(model))


def test_layers_that_nobody_targets_are_plain(languages: list[TrainedLanguage], tmp_path: Path) -> None:
    few = trained_language(tmp_path / "few", "few", "embedded", targets=("q_proj", "v_proj"))
    model = plain(few).model
    pool = AdapterPool(model)
    assert hooked(model) == []
    pool.load("few", few.lora)
    some = hooked(model)
    assert some and {name.split(".")[-1] for name in some} == {"q_proj", "v_proj"}
    pool.load("bo", languages[0].lora)
    assert set(some) < set(hooked(model))
    with pool.activate([pool.acquire("few"), pool.acquire("bo")]):
        made = logits(model, 2)
    assert (made[0] - logits(few.pipeline.model.decoder)[0]).abs().max() < 1e-4
    assert (made[1] - logits(languages[0].pipeline.model.decoder)[0]).abs().max() < 1e-4
    pool.unload("bo")
    assert set(some) < set(hooked(model))  # it is held
    pool.release(2)
    assert hooked(model) == some


def test_the_output_layer_only_where_it_is_named(tmp_path: Path) -> None:
    decoder = str(write_decoder(tmp_path / "decoder", "gemma"))
    one = trained_language(tmp_path / "one", "one", decoder, targets=("lm_head", "q_proj"))
    model = plain(one).model
    assert model.config.tie_word_embeddings
    pool = AdapterPool(model)
    pool.load("one", one.lora)
    with pool.activate([pool.acquire("one")]):
        assert (logits(model) - logits(one.pipeline.model.decoder)).abs().max() < 1e-4
    assert "lm_head" in hooked(model)
    tensors = load_file(one.lora / WEIGHTS)
    own = next(key for key in tensors if "base_layer" in key)
    save_file(tensors | {own: tensors[own] + 1}, one.lora / WEIGHTS)
    with pytest.raises(LlinkError, match=r"holds .*base_layer"):
        pool.load("other", one.lora)


def test_rank_stabilised_scaling(tmp_path: Path, languages: list[TrainedLanguage]) -> None:
    folder = Path(shutil.copytree(languages[2].lora, tmp_path / "rs"))
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"use_rslora": True}))
    model = plain(languages[0]).model
    pool = AdapterPool(model)
    pool.load("rs", folder)
    with pool.activate([pool.acquire("rs")]):
        made = logits(model)
    wanted = logits(PeftModel.from_pretrained(plain(languages[0]).model, str(folder)))
    assert (made - wanted).abs().max() < 1e-4
    assert (made - logits(languages[2].pipeline.model.decoder)).abs().max() > 1e-2


def test_who_holds_an_adapter_keeps_it(languages: list[TrainedLanguage]) -> None:
    bo, km, _ = languages
    model = plain(bo).model
    pool = AdapterPool(model)
    pool.load("x", bo.lora)
    old = pool.acquire("x")
    pool.load("x", km.lora)
    new = pool.acquire("x")
    pool.unload("x")
    assert pool.names == []
    with pytest.raises(LlinkError, match=r"no adapter 'x' here \(there are: none\)"):
        pool.acquire("x")
    with pool.activate([old, new]):
        made = logits(model, 2)
    assert (made[0] - logits(bo.pipeline.model.decoder)[0]).abs().max() < 1e-4
    assert (made[1] - logits(km.pipeline.model.decoder)[0]).abs().max() < 1e-4
    pool.release(old)
    assert hooked(model)
    pool.release(new)
    assert hooked(model) == []


def test_places_are_used_again(languages: list[TrainedLanguage]) -> None:
    model = plain(languages[0]).model
    pool = AdapterPool(model)
    for _ in range(10):
        for name, one in (("x", languages[0]), ("y", languages[2])):
            pool.load(name, one.lora)
            row = pool.acquire(name)
            assert row <= 3
            pool.release(row)
    with pool.activate([pool.acquire("x"), pool.acquire("y")]):
        made = logits(model, 2)
    assert (made[0] - logits(languages[0].pipeline.model.decoder)[0]).abs().max() < 1e-4
    assert (made[1] - logits(languages[2].pipeline.model.decoder)[0]).abs().max() < 1e-4


def change(**options: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | options))

    return write


def tensors(edit: Callable[[dict[str, torch.Tensor], str], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        edit(held, next(key for key in held if "lora_A" in key))
        save_file(held, folder / WEIGHTS)

    return write


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (change(use_dora=True), "asks for use_dora"),
        (change(bias="all"), "asks for bias"),
        (change(modules_to_save=["lm_head"]), "asks for modules_to_save"),
        (change(rank_pattern={"q_proj": 2}), "asks for rank_pattern"),
        (change(init_lora_weights="pissa"), "asks for init_lora_weights"),
        (change(something_new=True), "asks for something_new"),
        (change(peft_type="LOHA"), "not a LoRA adapter"),
        (change(r=5), "do not fit rank 5"),
        (change(r=None), "no rank and alpha"),
        (lambda folder: (folder / CONFIG).write_text("{"), "not JSON"),
        (lambda folder: (folder / CONFIG).unlink(), "cannot be read"),
        (lambda folder: (folder / WEIGHTS).unlink(), "cannot be read"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\x07" * 64), "is damaged"),
        (tensors(lambda held, key: held.pop(key)), "one of its two matrices is missing"),
        (tensors(lambda held, key: held[key].fill_(float("nan"))), "no numbers"),
        (tensors(lambda held, key: held.update({key: held[key][:, :-1].contiguous()})), "do not fit"),
        (
            tensors(lambda held, key: held.update({k.replace(".0.", ".9."): held.pop(k) for k in [*held]})),
            "no such linear layer",
        ),
        (tensors(lambda held, key: held.update({key + "_extra": held[key].clone()})), "no LoRA on a linear"),
        (tensors(lambda held, key: held.clear()), "holds no adapter"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    languages: list[TrainedLanguage], tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    folder = Path(shutil.copytree(languages[0].lora, tmp_path / "lora"))
    harm(folder)
    model = plain(languages[0]).model
    pool = AdapterPool(model)
    with pytest.raises(LlinkError, match=said) as error:
        pool.load("bad", folder)
    assert "\n" not in str(error.value)
    assert pool.names == [] and hooked(model) == []


def test_another_decoder_s_adapter_is_refused(
    languages_on: LanguagesOn, languages: list[TrainedLanguage]
) -> None:
    with pytest.raises(LlinkError, match="another decoder"):
        AdapterPool(plain(languages[0]).model).load("x", languages_on("gemma")[0].lora)


def test_a_decoder_with_adapters_on_it_is_refused(languages: list[TrainedLanguage]) -> None:
    with pytest.raises(LlinkError, match="adapters on it already"):
        AdapterPool(languages[0].pipeline.decoder.model)
