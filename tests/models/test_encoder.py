"""Encoders of other make: a plain BERT that must be told how to pool, and a sentence-transformers one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import PAIRS

from llink_ray.errors import LlinkError
from llink_ray.models.encoder import Encoder
from llink_ray.settings import EncoderSettings

TEXTS = [pair.foreign for pair in PAIRS[:5]]


def load(folder: Path | str, **settings: Any) -> Encoder:
    return Encoder.load(EncoderSettings.model_validate({"model": str(folder), **settings}))


def test_a_plain_transformer_must_say_how_to_pool(zoo: Path) -> None:
    with pytest.raises(LlinkError, match=r"does not say how to pool.*encoder\.pooling=mean") as error:
        load(zoo / "bert")
    assert error.value.exit_code == 2 and "\n" not in str(error.value)


def test_pooling(zoo: Path) -> None:
    mean, first = load(zoo / "bert", pooling="mean"), load(zoo / "bert", pooling="cls")
    found = mean.encode(TEXTS, with_tokens=True)
    assert found.tokens is not None and found.mask is not None
    counts = found.mask.sum(1, keepdim=True)
    assert torch.allclose(found.vectors, found.tokens.sum(1) / counts, atol=1e-5)
    assert torch.allclose(first.encode(TEXTS).vectors, found.tokens[:, 0], atol=1e-5)


def test_a_sentence_transformer_keeps_its_own_modules(zoo: Path) -> None:
    named, plain = load(zoo / "sentence-bert"), load(zoo / "bert", pooling="mean")
    expected = torch.nn.functional.normalize(plain.encode(TEXTS).vectors, dim=-1)
    assert torch.allclose(named.encode(TEXTS).vectors, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "sentence-bert", "embedded"])
def test_sizes_are_the_model_s(zoo: Path, name: str) -> None:
    encoder = load(name if name == "embedded" else zoo / name, pooling="mean" if name == "bert" else None)
    found = encoder.encode(TEXTS, with_tokens=True)
    assert found.tokens is not None and found.mask is not None
    assert found.vectors.shape == (5, encoder.dim)
    assert found.tokens.shape == (5, found.mask.shape[1], encoder.token_dim)
    assert found.vectors.dtype == found.tokens.dtype == torch.float32
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}


def test_text_is_cut_and_the_prompt_put_before(zoo: Path) -> None:
    cut = load(zoo / "sentence-bert", max_characters=4, prompt="farmers ")
    whole = load(zoo / "sentence-bert")
    assert torch.allclose(cut.encode(["ཁྱི  ར ང"]).vectors, whole.encode(["farmers ཁྱི "]).vectors, atol=1e-6)
    assert cut.token_counts(["ཁྱི  ར ང"]) == whole.token_counts(["farmers ཁྱི "])


def test_text_longer_than_the_model_reads(zoo: Path) -> None:
    encoder = load(zoo / "sentence-bert", max_characters=1_000)
    long = "ར " * 400
    assert encoder.token_counts([long]) == [64]  # its max_position_embeddings
    found = encoder.encode([long, "ར"], with_tokens=True)
    assert found.mask is not None and found.mask.sum(1).tolist() == [64, 3]


def test_forwards_are_counted(zoo: Path) -> None:
    encoder = load(zoo / "sentence-bert")
    encoder.token_counts(TEXTS)
    assert encoder.forwards == 0
    encoder.encode(TEXTS)
    encoder.encode(TEXTS, with_tokens=True)
    assert encoder.forwards == 2


def test_the_revision_holds_for_weights_configuration_and_tokenizer(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers.sentence_transformer import modules

    class Seen(Exception):
        pass

    def spy(found: str, **given: Any) -> None:
        raise Seen({name: kwargs.get("revision") for name, kwargs in given.items()})

    monkeypatch.setattr(modules, "Transformer", spy)
    with pytest.raises(LlinkError) as error:
        load(zoo / "bert", pooling="mean", revision="abc123")
    assert isinstance(error.value.__cause__, Seen)
    assert error.value.__cause__.args[0] == dict.fromkeys(
        ("model_kwargs", "config_kwargs", "processor_kwargs"), "abc123"
    )


def test_layers_stand_side_by_side(zoo: Path) -> None:
    own = load(zoo / "sentence-bert").encode(TEXTS, with_tokens=True)
    encoder = load(zoo / "sentence-bert", layers=(0, 1, 2))
    found = encoder.encode(TEXTS, with_tokens=True)
    assert found.vectors.shape == (5, encoder.dim) and encoder.dim == 3 * encoder.token_dim
    assert own.tokens is not None and own.mask is not None and found.sentence is not None
    means = own.tokens.sum(1) / own.mask.sum(1, keepdim=True)
    assert torch.allclose(found.vectors[:, -encoder.token_dim :], means, atol=1e-5), "the last is the last"
    assert torch.allclose(found.sentence, own.vectors, atol=1e-6), "the model's own vector stays at hand"
    one = torch.cat([encoder.encode([text]).vectors for text in TEXTS])
    assert torch.allclose(found.vectors, one, atol=1e-5)


def test_a_layer_that_the_encoder_lacks(zoo: Path) -> None:
    with pytest.raises(LlinkError, match=r"encoder\.layers names layer 9, but encoder .* has 2"):
        load(zoo / "sentence-bert", layers=(1, 9))
