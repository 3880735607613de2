"""A GGUF file becomes an ordinary decoder: its weights, its way of splitting text, its chat format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf_world import BPE, CHAT, gguf_file
from safetensors.numpy import load_file

from llink_ray.errors import JobFailed
from llink_ray.models.decoder import Decoder
from llink_ray.models.pretrained.gguf_decoder import convert
from llink_ray.settings import DecoderSettings


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The file, and the model whose weights were rounded into it."""
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    return path, gguf_file(path)


@pytest.fixture(scope="module")
def folder(source: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("decoder")
    convert(source[0], made)
    return made


def test_weights_that_were_not_rounded_come_out_as_they_were(tmp_path: Path) -> None:
    model = gguf_file(tmp_path / "m.gguf", quantised=False)
    (tmp_path / "out").mkdir()
    convert(tmp_path / "m.gguf", tmp_path / "out")
    decoder = Decoder.load(DecoderSettings(model=str(tmp_path / "out")))
    ids = torch.arange(3, 15)[None]
    with torch.inference_mode():
        torch.testing.assert_close(decoder.model(ids).logits, model(ids).logits)


def test_rounded_weights_are_those_of_the_blocks(source: tuple[Path, Any], folder: Path) -> None:
    from gguf import GGMLQuantizationType, quants

    weights = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in weights  # tied: saved once
    assert {w.dtype for w in weights.values()} == {np.dtype(np.float32)}
    original = source[1].state_dict()
    for name, kind in (
        ("model.embed_tokens.weight", GGMLQuantizationType.Q8_0),
        ("model.layers.1.mlp.down_proj.weight", GGMLQuantizationType.Q4_1),
    ):
        rounded = quants.dequantize(quants.quantize(original[name].numpy(), kind), kind)
        np.testing.assert_allclose(weights[name], rounded, atol=1e-7)


def test_text_is_split_as_the_model_was_trained(folder: Path) -> None:
    decoder = Decoder.load(DecoderSettings(model=str(folder)))
    split = decoder.tokenizer.tokenize
    assert split("cat at  12") == ["cat", "Ġ", "at", "ĠĠ", "1", "2"]  # each digit for itself
    assert split("12<|out|>") == ["1", "2", "<|out|>"]
    assert decoder.tokenizer.decode(decoder.tokenizer("cat  12").input_ids) == "cat  12"
    assert decoder.stop_ids() == [BPE.index("<|out|>")]
    assert decoder.prompt_builder.chat_format.render([("user", "cat")]) == "<|in|>cat<|out|>"
    assert decoder.tokenizer.model_max_length == 128


def test_the_files_say_nothing_of_where_and_when(
    source: tuple[Path, Any], folder: Path, tmp_path: Path
) -> None:
    convert(source[0], tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    config = json.loads((folder / "config.json").read_text())
    assert not {key for key in config if key.startswith("_") or "version" in key or "quant" in key}
    assert config["tie_word_embeddings"] and config["dtype"] == "float32"
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 2
    assert (folder / "chat_template.jinja").read_text() == CHAT


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_a_file_that_is_cut_says_so(source: tuple[Path, Any], tmp_path: Path, share: float) -> None:
    whole = source[0].read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: int(len(whole) * share)])
    (tmp_path / "out").mkdir()
    with pytest.raises(JobFailed, match=r"cut\.gguf cannot be read as GGUF") as error:
        convert(tmp_path / "cut.gguf", tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"model": "llama"}, "tokenizer of kind 'llama'"), ({"pre": "qwen2"}, "rule 'qwen2'")],
)
def test_a_way_of_splitting_that_is_not_known_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    gguf_file(tmp_path / "m.gguf", **changes)
    with pytest.raises(JobFailed, match=said):
        convert(tmp_path / "m.gguf", tmp_path)
