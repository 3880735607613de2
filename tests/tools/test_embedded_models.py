"""The embedded models: small, half precision, ordinary directories, English only, and rebuildable."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from llink_ray.corpus import phrasebook
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoder
from llink_ray.settings import DecoderSettings, EncoderSettings
from llink_ray.tools import dialogues, embedded_models

SHIPPED = Path(str(resources.files("llink_ray.models.tiny")))
PARTS = ("encoder", "decoder")


def dtypes(folder: Path) -> set[str]:
    with safe_open(str(folder / "model.safetensors"), "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a mapping


def test_together_under_twelve_megabytes_in_half_precision() -> None:
    files = [f for part in PARTS for f in (SHIPPED / part).rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 12e6
    assert all(dtypes(SHIPPED / part) == {"F16"} for part in PARTS)


def test_decoder_answers_in_english() -> None:
    figures = embedded_models.accuracy(SHIPPED / "decoder", questions=100, translations=20)
    assert figures["exact"] >= 0.97  # .989 over 1 600 questions; 400 are asked here
    assert figures["numbers"] >= 0.98


def test_decoder_answers_about_one_sentence_of_several() -> None:
    right = embedded_models.passages(SHIPPED / "decoder", questions=50)
    assert set(right) == {"2", "3", "4", "5", "6"}
    assert min(right.values()) >= 0.85


def test_every_token_knows_which_sentence_it_is_about() -> None:
    tokenizer = Decoder.load(DecoderSettings(model="embedded")).tokenizer
    turns = [("Sentence 2: Who?\n [1] A cat. [2] The cook.", "the cook"), ("Sentence 1: What?", "A cat")]
    ids, says = dialogues.tokenise(tokenizer, turns)
    about = dialogues.SentenceNumbers(tokenizer).of(ids)
    told = [tokenizer.decode([i for i, a in zip(ids, about, strict=True) if a == n]) for n in (0, 1, 2)]
    assert told[0] == "<s><|user|><|user|>"
    assert told[1] == " [1] A cat. Sentence 1: What?<|end|><|assistant|> A cat<|end|>"
    assert told[2] == " Sentence 2: Who?\n [2] The cook.<|end|><|assistant|> the cook<|end|>"
    assert tokenizer.decode([i for i, s in zip(ids, says, strict=True) if s]) == (
        " the cook<|end|> A cat<|end|>"
    )


@pytest.mark.parametrize("code", phrasebook.languages())
def test_decoder_shatters_the_foreign_scripts(code: str) -> None:
    decoder = Decoder.load(DecoderSettings(model="embedded"))
    pairs = phrasebook.pairs(code, 50)
    foreign = sum(decoder.token_counts([p.foreign for p in pairs]))
    english = sum(decoder.token_counts([p.english for p in pairs]))
    assert foreign > 4 * english


def test_rebuild_of_a_few_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    embedded_models.main(output=tmp_path, fraction=0.002, pairs=200, threads=threads)
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= document["decoder_english"]["exact"] <= 1
    assert all(0 <= share <= 1 for share in document["decoder_english_passages"].values())
    assert all(dtypes(tmp_path / part) == {"F16"} for part in PARTS)
    decoder = Decoder.load(DecoderSettings(model=str(tmp_path / "decoder")))
    encoder = Encoder.load(EncoderSettings(model=str(tmp_path / "encoder")))
    shipped = Decoder.load(DecoderSettings(model="embedded"))
    assert (decoder.dim, encoder.dim) == (shipped.dim, Encoder.load(EncoderSettings(model="embedded")).dim)
    assert decoder.tokenizer.chat_template == shipped.tokenizer.chat_template
    assert torch.isfinite(decoder.teacher_states(["The cook sold 3 hats."])).all()
    assert torch.isfinite(encoder.encode(["ཁང་པ"]).vectors).all()
