"""A packed 4-bit encoder becomes a directory that reads as the file says."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from e5_world import (
    PIECES,
    POSITIONS,
    FloatArray,
    H,
    e5_file,
    e5_shapes,
    q4_0,
    read_aloud,
    read_q4_0,
    unigram_file,
)
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from llink_ray.errors import JobFailed
from llink_ray.models.encoder import Encoder
from llink_ray.models.pretrained.e5_q4 import convert, dequantised, read
from llink_ray.settings import EncoderSettings

TEXTS = ["the cat sat on a mat", "a dog", "the the the the cat", "on"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, FloatArray]]:
    """The file, its tokenizer, and its tensors."""
    folder = tmp_path_factory.mktemp("e5")
    unigram_file(folder / "tokenizer.json")
    return folder / "w.bin", folder / "tokenizer.json", e5_file(folder / "w.bin")


def converted(source: tuple[Path, Path, dict[str, FloatArray]], folder: Path) -> Path:
    folder.mkdir()
    convert(source[0], source[1], folder)
    return folder


def test_vectors_are_those_of_the_files_arithmetic(
    source: tuple[Path, Path, dict[str, FloatArray]], tmp_path: Path
) -> None:
    folder = converted(source, tmp_path / "encoder")
    encoder = Encoder.load(EncoderSettings(model=str(folder)))
    assert (encoder.dim, encoder.model.max_seq_length) == (H, POSITIONS)
    vectors = encoder.encode(TEXTS).vectors.numpy()
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = [0, *(PIECES.index(f"▁{word}") for word in text.split()), 2]
        assert encoder.model.tokenizer(text)["input_ids"] == ids
        np.testing.assert_allclose(vector, read_aloud(source[2], ids), atol=2e-6)
    named = encoder.model.tokenizer
    assert (named.pad_token_id, named.unk_token_id, named.mask_token) == (1, 3, "<mask>")


def test_every_weight_is_there_as_float32_and_bytes_repeat(
    source: tuple[Path, Path, dict[str, FloatArray]], tmp_path: Path
) -> None:
    one, two = converted(source, tmp_path / "one"), converted(source, tmp_path / "two")
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    weights = load_file(one / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {np.dtype(np.float32)}
    assert len(weights) == len(e5_shapes()) + 2  # the pooler, which nobody reads
    assert not weights["pooler.dense.weight"].any()
    layer = "encoder.layer.1.intermediate.dense.weight"
    np.testing.assert_array_equal(weights[layer], source[2]["l1.fi.w"])


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_dequantisation_is_that_of_a_loop(blocks: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=32 * blocks).astype(np.float32)
    data = q4_0(values)
    np.testing.assert_array_equal(dequantised(np.frombuffer(data, np.uint8)), read_q4_0(data))


def test_a_file_that_is_cut_says_so(source: tuple[Path, Path, dict[str, FloatArray]], tmp_path: Path) -> None:
    whole, cut = source[0].read_bytes(), tmp_path / "cut.bin"
    for length in [*range(0, 1_200, 7), len(whole) // 2, len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(JobFailed, match=r"cut\.bin is damaged \(.*\): get it again"):
            read(cut)


@given(st.integers(0, 900), st.integers(1, 255))
def test_a_changed_byte_never_ends_in_a_traceback(
    source: tuple[Path, Path, dict[str, FloatArray]],
    tmp_path_factory: pytest.TempPathFactory,
    place: int,
    change: int,
) -> None:
    content = bytearray(source[0].read_bytes())
    content[place] ^= change
    file = tmp_path_factory.getbasetemp() / "changed.bin"
    file.write_bytes(content)
    try:
        read(file)
    except JobFailed as error:
        assert "changed.bin is damaged" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("place", "layout", "value", "said"),
    [
        (0, "<4s", b"E5S2", "does not begin with E5S1"),
        (4, "<I", 2, "version 2"),
        (8, "<i", 31, "impossible sizes"),
        (8, "<i", 0, "impossible sizes"),
        (12, "<i", 2**30, "impossible sizes"),
        (24, "<i", 41, "tensor 'emb.word' is not of the size"),
        (44, "<i", -1, "a vocabulary of -1 pieces"),
    ],
)
def test_a_header_that_contradicts_the_file(
    source: tuple[Path, Path, dict[str, FloatArray]],
    tmp_path: Path,
    place: int,
    layout: str,
    value: int | bytes,
    said: str,
) -> None:
    content = bytearray(source[0].read_bytes())
    struct.pack_into(layout, content, place, value)
    (tmp_path / "w.bin").write_bytes(content)
    with pytest.raises(JobFailed, match=said):
        read(tmp_path / "w.bin")


def test_weights_that_are_no_numbers(
    source: tuple[Path, Path, dict[str, FloatArray]], tmp_path: Path
) -> None:
    content = bytearray(source[0].read_bytes())
    content[-4:] = struct.pack("<f", float("nan"))
    (tmp_path / "w.bin").write_bytes(content)
    with pytest.raises(JobFailed, match="values that are not numbers"):
        convert(tmp_path / "w.bin", source[1], tmp_path)


def test_the_tokenizer_of_another_model(
    source: tuple[Path, Path, dict[str, FloatArray]], tmp_path: Path
) -> None:
    other = tmp_path / "tokenizer.json"
    unigram_file(other, [*PIECES[:-2], "z", PIECES[-1]])
    with pytest.raises(JobFailed, match=r"its pieces are not those of w\.bin"):
        convert(source[0], other, tmp_path)
    other.write_text(json.dumps({"model": []}))
    with pytest.raises(JobFailed, match="not a Unigram tokenizer"):
        convert(source[0], other, tmp_path)
