"""Which weights exactly, and one clear sentence where they cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from model_zoo import tokenizer

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoder
from llink_ray.models.locate import explain_errors, fingerprint, locate
from llink_ray.settings import DecoderSettings, EncoderSettings

Load = Callable[[str], object]


def decoder(model: str) -> Decoder:
    return Decoder.load(DecoderSettings(model=model))


def encoder(model: str) -> Encoder:
    return Encoder.load(EncoderSettings(model=model, pooling="mean"))


def said(error: pytest.ExceptionInfo[LlinkError]) -> str:
    """The message, held to what every message promises."""
    text = str(error.value)
    assert "\n" not in text and len(text) < 400 and ": " in text
    return text


def test_fingerprint_is_of_the_content(tmp_path: Path, zoo: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(zoo / "gemma", one)
    shutil.copytree(zoo / "gemma", two)
    before = fingerprint(str(one), None, "decoder")
    assert fingerprint(str(two), None, "decoder") == before  # wherever it lies
    assert decoder(str(one)).fingerprint == before
    weights = one / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fingerprint(str(one), None, "decoder") != before
    (two / "tokenizer.json").rename(two / "tokeniser.json")
    assert fingerprint(str(two), None, "decoder") != before


def test_fingerprint_leaves_out_what_tools_leave(tmp_path: Path, zoo: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(zoo / "bert", folder)
    before = fingerprint(str(folder), None, "encoder")
    (folder / ".cache/huggingface").mkdir(parents=True)
    (folder / ".cache/huggingface/model.metadata").write_text("downloaded today")
    (folder / ".gitattributes").write_text("*")
    assert fingerprint(str(folder), None, "encoder") == before
    hidden = tmp_path / ".models" / "copy"  # a hidden folder above is no reason
    shutil.copytree(folder, hidden)
    assert fingerprint(str(hidden), None, "encoder") == before


def test_the_embedded_models_are_directories_like_any_other() -> None:
    for part in ("encoder", "decoder"):
        assert Path(locate("embedded", part)).is_dir()
    assert fingerprint("embedded", None, "encoder") != fingerprint("embedded", None, "decoder")


def test_hub_names_are_left_alone() -> None:
    assert locate("org/model", "encoder") == "org/model"
    assert locate("xlm-roberta-base", "encoder") == "xlm-roberta-base"


@pytest.mark.parametrize("model", ["/no/such/place", "./nowhere", "../nowhere", "~/no/such", "a/b/c"])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_missing_directory(model: str, part: str) -> None:
    with pytest.raises(LlinkError, match="does not exist") as error:
        locate(model, part)
    assert part in said(error) and model in said(error)
    assert error.value.exit_code == 2


def test_no_name_at_all() -> None:
    with pytest.raises(LlinkError, match="no decoder is named: give --decoder"):
        locate("", "decoder")


@pytest.mark.parametrize("load", [encoder, decoder])
def test_a_file_instead_of_a_directory(tmp_path: Path, load: Load) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(LlinkError, match="is a file: give the directory") as error:
        load(str(file))
    assert str(file) in said(error)


@pytest.mark.parametrize(("load", "source"), [(encoder, "bert"), (decoder, "qwen2"), (decoder, "gpt-neox")])
def test_a_directory_without_a_tokenizer(tmp_path: Path, zoo: Path, load: Load, source: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(zoo / source, folder)
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(LlinkError, match=r"has no usable tokenizer.*save_pretrained") as error:
        load(str(folder))
    assert str(folder) in said(error)


@pytest.mark.parametrize(("load", "source"), [(encoder, "bert"), (decoder, "qwen2")])
@pytest.mark.parametrize("harm", ["cut", "no weights", "no config", "bad config", "empty"])
def test_a_damaged_directory(tmp_path: Path, zoo: Path, load: Load, source: str, harm: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(zoo / source, folder)
    weights = folder / "model.safetensors"
    if harm == "cut":
        weights.write_bytes(weights.read_bytes()[:2_000])
    elif harm == "no weights":
        weights.unlink()
    elif harm == "no config":
        (folder / "config.json").unlink()
    elif harm == "bad config":
        (folder / "config.json").write_text("{")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    with pytest.raises(LlinkError) as error:
        load(str(folder))
    assert str(folder) in said(error)


def test_a_damaged_tokenizer(tmp_path: Path, zoo: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(zoo / "qwen2", folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(LlinkError) as error:
        decoder(str(folder))
    assert str(folder) in said(error)


def test_a_tokenizer_without_an_end(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    endless = tokenizer({"pad_token": "<pad>"})
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: endless)
    with pytest.raises(LlinkError, match=r"without an end-of-sequence token.*eos_token") as error:
        decoder(str(zoo / "qwen2"))
    said(error)


@pytest.mark.parametrize(
    "load",
    [
        encoder,
        decoder,
        lambda model: Encoder.load(EncoderSettings(model=model)),
        lambda model: fingerprint(model, None, "encoder"),
    ],
)
def test_a_hub_model_without_a_network(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        JobFailed, match=r"could not be fetched.*local cache.*network.*local directory"
    ) as error:
        load("nobody/never-published-this")
    assert "nobody/never-published-this" in said(error)
    assert error.value.exit_code == 1


def hub_error(kind: str) -> Exception:
    from huggingface_hub import errors

    refused = SimpleNamespace(headers={}, request=None)
    made: Exception = getattr(errors, kind)(f"403 Client Error.\n\n{kind} for url", response=refused)
    return made


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_gated_model(wrapped: bool) -> None:
    with pytest.raises(LlinkError, match=r"is gated: accept its licence.*HF_TOKEN") as error:  # noqa: SIM117
        with explain_errors("org/model", "decoder"):
            if not wrapped:
                raise hub_error("GatedRepoError")
            try:
                raise hub_error("GatedRepoError")
            except Exception as inner:  # as transformers does
                raise OSError("You are trying to access a gated repo.\nMake sure to have access") from inner
    assert "org/model" in said(error) and error.value.exit_code == 2


@pytest.mark.parametrize("kind", ["RepositoryNotFoundError", "RevisionNotFoundError"])
def test_a_model_that_is_not_on_the_hub(kind: str) -> None:
    with (
        pytest.raises(LlinkError, match="does not exist on the hub") as error,
        explain_errors("org/model", "encoder"),
    ):
        raise hub_error(kind)
    assert error.value.exit_code == 2 and "encoder 'org/model'" in said(error)


@pytest.mark.parametrize(
    "problem", [ImportError("needs the protobuf library\nbut"), ValueError("model type `new` is not known")]
)
def test_not_every_trouble_with_a_hub_model_is_the_network(problem: Exception) -> None:
    with (
        pytest.raises(LlinkError, match="could not be loaded") as error,
        explain_errors("org/model", "decoder"),
    ):
        raise problem
    assert str(problem).splitlines()[0] in said(error) and "network" not in said(error)


@pytest.mark.parametrize(
    "problem",
    [
        TypeError("object of type 'tokenizers.Tokenizer' has no len()"),
        KeyError("vocab_size"),
        ValueError("a gated repo is not the matter"),
        OSError("error: Tokenizer"),
    ],
)
def test_the_words_of_an_error_are_not_its_kind(zoo: Path, problem: Exception) -> None:
    model = str(zoo / "qwen2")
    with pytest.raises(LlinkError, match=rf"could not be loaded \({type(problem).__name__}\)") as error:  # noqa: SIM117
        with explain_errors(model, "decoder"):
            raise problem
    assert "usable tokenizer" not in said(error) and "licence" not in said(error)


def test_a_tokenizer_that_is_cut_off_is_named(tmp_path: Path, zoo: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(zoo / "qwen2", folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(
        LlinkError, match=r"no usable tokenizer \(tokenizer\.json: .*\): copy the files"
    ) as error:
        decoder(str(folder))
    said(error)


def test_our_own_sentences_pass_unchanged() -> None:
    with pytest.raises(LlinkError, match=r"^as it was$"), explain_errors("org/model", "encoder"):
        raise LlinkError("as it was")
