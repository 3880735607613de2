"""Encoders of other make: a plain BERT that must be told how to pool, and a sentence-transformers one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import PAIRS, learn, small_settings, write_taught

import llink_ray
from llink_ray.errors import LlinkError
from llink_ray.models.encoder import Encoder, text_token_spans
from llink_ray.models.locate import locate
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


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without a transformer: a vector for each token, and their mean."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    words = Tokenizer.from_file(f"{locate('embedded', 'encoder')}/tokenizer.json")
    words.no_padding()
    words.no_truncation()
    folder = tmp_path_factory.mktemp("static")
    modules = [StaticEmbedding(words, embedding_dim=32), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def test_a_static_encoder(static: Path) -> None:
    encoder = load(static)
    found = encoder.encode(["", *TEXTS], with_tokens=True)
    assert (encoder.dim, encoder.token_dim) == (32, 32) and found.vectors.shape == (6, 32)
    assert found.tokens is not None and found.mask is not None
    counts = [len(ids) for ids in encoder.token_ids(["", *TEXTS])]
    assert counts == encoder.token_counts(["", *TEXTS]) and counts[0] == 0 < min(counts[1:])
    assert found.mask.sum(1).tolist() == [1, *counts[1:]]  # attention over nothing would be no number
    assert not found.tokens[0].any() and not found.tokens[~found.mask].any()
    means = found.tokens[1:].sum(1) / found.mask[1:].sum(1, keepdim=True)
    unit = torch.nn.functional.normalize(means, dim=-1)
    assert torch.allclose(found.vectors[1:], unit, atol=1e-5)
    assert torch.equal(encoder.encode(TEXTS).vectors, found.vectors[1:])
    assert encoder.characters_read(["", *TEXTS]) == [len(text) for text in ["", *TEXTS]]
    longer = load(static, max_characters=4, prompt="farmers ")
    assert longer.token_counts(["ཁྱི  ར ང"]) == encoder.token_counts(["farmers ཁྱི "])


def test_a_static_encoder_teaches_and_is_looked_at(static: Path, tmp_path: Path) -> None:
    from llink_ray.evaluation.insight import insight

    settings = small_settings(str(static), "embedded", slots={"count": 3, "heads": 2, "layers": 1})
    taught = learn(settings).taught
    write_taught(tmp_path / "bundle", taught)
    text = TEXTS[0]
    loaded = llink_ray.load(tmp_path / "bundle", encoder=str(static))
    assert loaded.answer("Who?", text) == taught.answer("Who?", text)
    assert insight(taught, "Who?", text, TEXTS[1:3]).pieces


def test_a_static_encoder_has_no_layers(static: Path) -> None:
    with pytest.raises(LlinkError, match=r"encoder\.layers names layer 1, but encoder .* has 0"):
        load(static, layers=(1,))


def test_an_encoder_of_counted_words_is_refused_for_what_it_is(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    SentenceTransformer(modules=[BoW(["a", "b"])], device="cpu").save(str(tmp_path))
    with pytest.raises(LlinkError, match=r"begins with BoW, which gives no vectors of tokens"):
        load(tmp_path)


def test_states_of_the_text_alone(zoo: Path) -> None:
    whole = load(zoo / "sentence-bert", prompt="farmers ")
    own = load(zoo / "sentence-bert", prompt="farmers ", text_tokens_only=True)
    texts = [*TEXTS, "30 farmers", ""]
    expected, found = whole.encode(texts, with_tokens=True), own.encode(texts, with_tokens=True)
    assert found.tokens is not None and found.mask is not None and expected.tokens is not None
    assert torch.equal(found.vectors, expected.vectors)
    spans = own.token_spans(texts)
    for i, text in enumerate(texts):
        assert int(found.mask[i].sum()) == len(spans[i]) >= 1
        rows = [position for position, _, _ in spans[i]]
        assert torch.equal(found.tokens[i, : len(rows)], expected.tokens[i, rows])
        assert all(0 <= start <= end <= len(text) for _, start, end in spans[i])
    assert [texts[-2][start:end] for _, start, end in spans[-2]] == ["30", "farmer", "s"]
    # The same in any company, and no states where there is no text.
    alone = own.encode([texts[-2]], with_tokens=True)
    assert alone.tokens is not None
    assert torch.allclose(alone.tokens[0], found.tokens[-2, : alone.tokens.shape[1]], atol=1e-5)
    assert not found.tokens[~found.mask].any()


def test_states_of_a_lower_layer(zoo: Path) -> None:
    top, lower = (load(zoo / "sentence-bert", token_layer=layer) for layer in (None, 1))
    ours, theirs = (encoder.encode(TEXTS, with_tokens=True) for encoder in (lower, top))
    assert ours.tokens is not None and theirs.tokens is not None
    assert ours.tokens.shape == theirs.tokens.shape and not torch.allclose(ours.tokens, theirs.tokens)
    assert torch.equal(ours.vectors, theirs.vectors)
    with pytest.raises(LlinkError, match=r"encoder\.token_layer names layer 99"):
        load(zoo / "sentence-bert", token_layer=99)


def test_offsets_are_needed_for_the_text_alone() -> None:
    with pytest.raises(LlinkError, match="text_tokens_only"):
        text_token_spans(object(), ["a"], EncoderSettings(model="slow"), None)
