"""Text like that of the training, and text unlike it, told apart by what the encoder says of both."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest
import torch
from model_zoo import learn, small_settings, write_taught

import llink_ray
from llink_ray.corpus.phrasebook import pairs
from llink_ray.corpus.read import read
from llink_ray.errors import LlinkError
from llink_ray.models.encoder import Encoder
from llink_ray.models.novelty import FEWEST, FILE, NoveltyDetector
from llink_ray.settings import EncoderSettings

OTHER = {
    "bo": [
        "བོད་ཀྱི་རྒྱལ་རབས་ནང་ཆོས་རྒྱལ་གསུམ་གྱི་དུས་སྐབས་ནི་ཧ་ཅང་གལ་ཆེན་པོ་ཡིན་པར་ངོས་འཛིན་བྱེད།",
        "གློག་ཀླད་ཀྱི་མཉེན་ཆས་གསར་པ་འདི་དྲ་རྒྱ་བརྒྱུད་ནས་ཕབ་ལེན་བྱེད་དགོས།",
    ],
    "km": ["រដ្ឋាភិបាលបានប្រកាសគោលនយោបាយសេដ្ឋកិច្ចថ្មីដើម្បីកាត់បន្ថយអតិផរណា។"],
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(EncoderSettings(model="embedded"))


def vectors(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    return encoder.encode(texts).vectors


@pytest.mark.parametrize("code", OTHER)
def test_the_phrasebook_s_own_sentences_are_inside_and_real_text_is_not(encoder: Encoder, code: str) -> None:
    texts = [pair.foreign for pair in pairs(code, 700, seed=3)]
    detector = NoveltyDetector.fit(vectors(encoder, texts[:500]))
    assert detector is not None
    wrongly = sum(detector.outside(vectors(encoder, texts[500:])))
    assert wrongly <= 6  # of 200, where one is expected
    assert all(detector.outside(vectors(encoder, OTHER[code])))


@pytest.mark.skipif("LLINK_DATA" not in os.environ, reason="LLINK_DATA, real parallel text, is not set")
def test_real_tibetan_is_beyond_the_phrasebook(encoder: Encoder) -> None:
    detector = NoveltyDetector.fit(vectors(encoder, [pair.foreign for pair in pairs("bo", 500, seed=3)]))
    assert detector is not None
    file = Path(os.environ["LLINK_DATA"]) / "parallel" / "bo.tsv"
    real = [pair.foreign for pair in islice(read(str(file)), 100) if pair.foreign]
    assert sum(detector.outside(vectors(encoder, real))) >= 0.95 * len(real) > 0


def test_about_one_in_two_hundred_of_its_own_kind_is_outside() -> None:
    torch.manual_seed(0)
    mixed = torch.randn(16, 16)
    detector = NoveltyDetector.fit(torch.randn(4_000, 16) @ mixed + 3)
    assert detector is not None
    own, further = torch.randn(20_000, 16) @ mixed + 3, torch.randn(1_000, 16) @ mixed * 3 + 3
    assert 0.002 < sum(detector.outside(own)) / len(own) < 0.01
    assert sum(detector.outside(further)) / len(further) > 0.95


def test_it_comes_back_from_a_folder_with_its_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    states = torch.randn(300, 24)
    detector = NoveltyDetector.fit(states, layers=3)
    assert detector is not None and detector.mean.shape == (8,)
    assert NoveltyDetector.load(tmp_path) is None
    detector.save(tmp_path)
    again = NoveltyDetector.load(tmp_path)
    assert again is not None
    assert torch.allclose(again.distances(states), detector.distances(states))
    (tmp_path / FILE).write_bytes(b"x")
    with pytest.raises(LlinkError, match=r"known_text\.safetensors cannot be read"):
        NoveltyDetector.load(tmp_path)


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_too_little_text_tells_nothing(count: int) -> None:
    assert NoveltyDetector.fit(torch.randn(count, 8)) is None


def test_text_that_is_always_the_same_is_inside_alone() -> None:
    detector = NoveltyDetector.fit(torch.ones(FEWEST, 4))
    assert detector is not None
    assert detector.outside(torch.tensor([[1.0] * 4, [2.0] * 4])) == [False, True]


def test_a_taught_decoder_says_what_it_does_not_know(tmp_path: Path, encoder: Encoder) -> None:
    settings = small_settings("embedded", "embedded", slots={"count": 3, "heads": 2, "layers": 1})
    taught = learn(settings).taught
    texts = [pair.foreign for pair in pairs("bo", 400, seed=3)]
    detector = NoveltyDetector.fit(vectors(encoder, texts))
    told = llink_ray.load(write_taught(tmp_path / "bundle", taught, detector)).outside(
        [*texts[:2], OTHER["bo"][0]]
    )
    assert told == [False, False, True]
    silent = llink_ray.load(write_taught(tmp_path / "older", taught))
    assert silent.outside(texts[:2]) == [None, None]
