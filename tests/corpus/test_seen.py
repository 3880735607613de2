"""A bundle recognises the text it was trained on, edited a little too, and cannot tell what it was."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from llink_ray.corpus import phrasebook
from llink_ray.corpus.minhash import NGRAM, MinHashIndex, signatures
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.seen import FILE, SeenText
from llink_ray.errors import LlinkError

LONG = "The committee will publish its final report on water and sanitation in rural districts next spring."
SEEN = [
    Pair("ខ្ញុំមានឆ្កែមួយ", "I have a dog."),
    Pair("គណៈកម្មាធិការនឹងបោះពុម្ពរបាយការណ៍", LONG),
    Pair("១២៣", "123"),
]


@pytest.fixture(scope="module")
def seen() -> SeenText:
    return SeenText.of(SEEN)


@pytest.mark.parametrize(
    ("foreign", "english"),
    [
        ("ខ្ញុំមានឆ្កែមួយ", "I have a dog."),
        ("ខ្ញុំមាន ឆ្កែ មួយ។", "Something else altogether"),
        ("អ្វីផ្សេង", "i have a DOG!"),
        ("អ្វីផ្សេង", "I have 3 a dog 4.5"),  # digits are ignored
        ("អ្វីផ្សេង", LONG.replace("final ", "")),
        ("អ្វីផ្សេង", LONG.replace("water", "power")),
        ("អ្វីផ្សេង", LONG + " Indeed."),
        ("១២៣", "something of one's own"),
    ],
)
def test_near_duplicates(seen: SeenText, foreign: str, english: str) -> None:
    assert seen.is_near_duplicate(Pair(foreign, english))


@pytest.mark.parametrize(
    ("foreign", "english"),
    [
        ("ខ្ញុំមានឆ្មាមួយ", "I have a cat."),
        ("អ្វីផ្សេង", "The committee will publish something else when the summer is over."),
        ("១២៤", "124"),
        ("", ""),
    ],
)
def test_others(seen: SeenText, foreign: str, english: str) -> None:
    assert not seen.is_near_duplicate(Pair(foreign, english))


def test_many_at_once_are_as_each_alone(seen: SeenText) -> None:
    asked = [SEEN[0], Pair("ក", "Something else"), Pair("ខ", LONG.upper()), Pair("គ", "x")]
    assert seen.near_duplicates(asked).tolist() == [seen.is_near_duplicate(pair) for pair in asked]
    assert seen.near_duplicates([]).tolist() == []


def test_it_comes_back_from_the_folder(seen: SeenText, tmp_path: Path) -> None:
    assert SeenText.load(tmp_path) is None
    seen.save(tmp_path)
    again = SeenText.load(tmp_path)
    assert again is not None
    assert np.array_equal(again.sentences, seen.sentences) and np.array_equal(again.english, seen.english)
    assert again.is_near_duplicate(SEEN[1])


def test_nothing_seen(tmp_path: Path) -> None:
    SeenText.of([]).save(tmp_path)
    nothing = SeenText.load(tmp_path)
    assert nothing is not None and not nothing.is_near_duplicate(SEEN[0])


def test_a_damaged_or_newer_file_is_told(seen: SeenText, tmp_path: Path) -> None:
    seen.save(tmp_path)
    save_file(load_file(tmp_path / FILE), tmp_path / FILE, metadata={"version": "9"})
    with pytest.raises(LlinkError, match=r"has version '9', this llink_ray reads 1"):
        SeenText.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(LlinkError, match=r"training_text\.safetensors cannot be read"):
        SeenText.load(tmp_path)


def test_the_file_holds_no_text_and_is_small(tmp_path: Path) -> None:
    pairs = list(phrasebook.pairs("bo", 2_000, seed=0))
    SeenText.of(pairs).save(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    assert len(content) < 5e6 * len(pairs) / 40_000 + 1_000
    assert not any(
        word.encode() in content for pair in pairs[:50] for word in pair.english.split() if word[4:]
    )


def test_order_and_repetition_change_nothing() -> None:
    pairs = list(phrasebook.pairs("km", 300, seed=0))
    mixed = [*pairs, *pairs[:50]]
    random.Random(0).shuffle(mixed)
    one, other = SeenText.of(pairs), SeenText.of(mixed)
    assert np.array_equal(one.sentences, other.sentences) and np.array_equal(one.english, other.english)


def grams(text: str) -> set[str]:
    text = text.ljust(NGRAM, "\0")
    return {text[i : i + NGRAM] for i in range(len(text) - NGRAM + 1)}


@settings(max_examples=30)
@given(st.lists(st.text("ab", max_size=30), max_size=5))
def test_a_signature_is_the_texts_own(texts: list[str]) -> None:
    """Whatever stands beside it: no n-gram reaches from one text into the next."""
    together = signatures(texts)
    assert together.shape == (len(texts), 64)
    for text, row in zip(texts, together, strict=True):
        assert np.array_equal(signatures([text])[0], row)
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            if grams(one) == grams(other):
                assert np.array_equal(together[i], together[j])


def test_signatures_estimate_the_jaccard_similarity() -> None:
    rng, ones, others = random.Random(0), [], []
    for _ in range(300):
        ones.append("".join(rng.choices("abcdefgh", k=120)))
        place, new = rng.randrange(100), "".join(rng.choices("abcdefgh", k=rng.randrange(40)))
        others.append(ones[-1][:place] + new + ones[-1][place + 10 :])
    true = [len(grams(a) & grams(b)) / len(grams(a) | grams(b)) for a, b in zip(ones, others, strict=True)]
    same = (signatures(ones) == signatures(others)).mean(1)
    errors = (same - 1 / 256) / (1 - 1 / 256) - np.array(true)
    assert abs(float(np.mean(errors))) < 0.01
    assert float(np.std(errors)) < 0.07


def test_a_template_that_all_share_is_compared_in_parts() -> None:
    """Signatures that agree in one band and no more: many candidates, none of them alike."""
    rng = np.random.default_rng(0)
    known = rng.integers(0, 256, (20_000, 64), dtype=np.uint8)
    known[:, :4] = 7
    asked = rng.integers(0, 256, (40, 64), dtype=np.uint8)
    asked[:, :4] = 7
    asked[3] = known[12_345]
    started = time.monotonic()
    assert np.flatnonzero(MinHashIndex(known).any_similar(asked, 0.8)).tolist() == [3]
    assert time.monotonic() - started < 10
