"""A packed 4-bit E5 file (``E5S1``) and its tokenizer, written as a sentence-transformers directory.

The file is little endian::

    header     "E5S1", u32 version, i32 hidden, layers, heads, feed-forward, vocabulary, positions,
               token types, f32 layer-norm epsilon, i32 block
    tokenizer  i32 pieces, bos, eos, pad, unk, u64 bytes of the blob, u32 offsets[pieces + 1],
               f32 scores[pieces], blob, i32 n, u32 bytes, normalisation map
    directory  i32 tensors, then for each: u16 length, name, u8 kind, u32 count, u64 offset, u64 bytes

Kind 0 is float32; kind 1 is Q4_0: blocks of 18 bytes, a float16 scale and 16 bytes, whose low halves are
weights 0 to 15 and whose high halves are weights 16 to 31, each (half - 8) * scale.

The model is a BERT (post-norm, exact GELU) with XLM-R's tokenizer, mean pooling and unit length.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llink_ray.errors import JobFailed

Array = npt.NDArray[np.float32]
_MAGIC, _VERSION, _BLOCK = b"E5S1", 1, 32
_LAYERS = 1_000
"""More are a damaged header."""
_Q4_0 = np.dtype([("scale", "<f2"), ("halves", "u1", (_BLOCK // 2,))])  # 18 bytes
_SPECIAL = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


class Header(NamedTuple):
    """Sizes, in the file's order."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float
    block: int


class Stored(NamedTuple):
    """Where a tensor lies."""

    kind: int
    values: int
    offset: int
    size: int


@dataclass(frozen=True)
class E5File:
    """A file whose header, vocabulary and directory were read and checked."""

    path: Path
    header: Header
    pieces: list[str]
    bos: int
    eos: int
    pad: int
    unk: int
    stored: Mapping[str, Stored]


class _Cursor:
    """Reads on from a place, never past the end."""

    def __init__(self, data: memoryview, path: Path) -> None:
        self.data, self.path, self.position = data, path, 0

    def take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.data) - self.position:
            raise damaged(self.path, f"it ends before byte {self.position + max(size, 0):,}")
        self.position += size
        return self.data[self.position - size : self.position]

    def read(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))


def damaged(path: Path, what: str) -> JobFailed:
    """The sentence for a file that is not what it should be."""
    return JobFailed(f"{path} is damaged ({what}): get it again")


def read(path: Path) -> E5File:
    """Header, vocabulary and directory of tensors; no weights yet.

    Raises:
        JobFailed: the file is not E5S1, is cut, or contradicts itself.
    """
    data = np.memmap(path, np.uint8, "r").data if path.stat().st_size else memoryview(b"")
    cursor = _Cursor(data, path)
    if bytes(cursor.take(4)) != _MAGIC:
        raise damaged(path, "it does not begin with E5S1")
    (version,) = cursor.read("I")
    header = Header(*cursor.read("7ifi"))
    if version != _VERSION or header.block != _BLOCK:
        raise damaged(path, f"version {version}, block {header.block}: version 1 and block 32 are known")
    sizes = header[:7]
    if min(sizes) < 1 or header.hidden % header.heads or max(sizes) > len(data) or header.layers > _LAYERS:
        raise damaged(path, f"impossible sizes {sizes}")
    count, bos, eos, pad, unk, blob_size = cursor.read("5iQ")
    if not 0 < count <= header.vocabulary or not all(0 <= i < count for i in (bos, eos, pad, unk)):
        raise damaged(path, f"a vocabulary of {count} pieces")
    offsets = np.frombuffer(cursor.take(4 * (count + 1)), "<u4").astype(np.int64)
    cursor.take(4 * count)  # scores: the tokenizer's own file has them too
    blob = bytes(cursor.take(blob_size))
    if offsets[0] != 0 or offsets[-1] > blob_size or (np.diff(offsets) < 0).any():
        raise damaged(path, "the offsets of its pieces do not rise")
    try:
        pieces = [blob[a:b].decode() for a, b in pairwise(offsets)]
    except UnicodeDecodeError as error:
        raise damaged(path, "a piece of its vocabulary is not UTF-8") from error
    _, map_size = cursor.read("iI")
    cursor.take(map_size)
    return E5File(path, header, pieces, bos, eos, pad, unk, _directory(cursor, header))


def _directory(cursor: _Cursor, header: Header) -> dict[str, Stored]:
    expected = {name: int(np.prod(shape)) for name, (_, shape) in layout(header).items()}
    (count,) = cursor.read("i")
    stored: dict[str, Stored] = {}
    for _ in range(count):
        (length,) = cursor.read("H")
        name = bytes(cursor.take(length)).decode("ascii", "replace")
        tensor = stored[name] = Stored(*cursor.read("BIQQ"))
        size = tensor.values * 4 if tensor.kind == 0 else tensor.values // _BLOCK * _Q4_0.itemsize
        if tensor.kind not in (0, 1) or tensor.values != expected.get(name) or tensor.size != size:
            raise damaged(cursor.path, f"tensor {name!r} is not of the size that the header gives")
        if tensor.kind == 1 and tensor.values % _BLOCK:
            raise damaged(cursor.path, f"tensor {name!r} is not made of whole blocks")
        if tensor.offset + tensor.size > len(cursor.data):
            raise damaged(cursor.path, f"tensor {name!r} lies past its end")
    if missing := expected.keys() - stored.keys():
        raise damaged(cursor.path, f"it lacks tensor {min(missing)!r}")
    return stored


def layout(header: Header) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The file's name of each tensor to BERT's name and its shape; linear weights are (out, in)."""
    h, f = header.hidden, header.feed_forward
    table: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (header.vocabulary, h)),
        "emb.pos": ("embeddings.position_embeddings.weight", (header.positions, h)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (header.token_types, h)),
    }

    def pair(short: str, long: str, *shape: int) -> None:
        table[f"{short}.w"] = (f"{long}.weight", shape)
        table[f"{short}.b"] = (f"{long}.bias", shape[:1])

    pair("emb.ln", "embeddings.LayerNorm", h)
    for i in range(header.layers):
        short, long = f"l{i}", f"encoder.layer.{i}"
        for letter, name in (("q", "query"), ("k", "key"), ("v", "value")):
            pair(f"{short}.{letter}", f"{long}.attention.self.{name}", h, h)
        pair(f"{short}.ao", f"{long}.attention.output.dense", h, h)
        pair(f"{short}.aln", f"{long}.attention.output.LayerNorm", h)
        pair(f"{short}.fi", f"{long}.intermediate.dense", f, h)
        pair(f"{short}.fo", f"{long}.output.dense", h, f)
        pair(f"{short}.oln", f"{long}.output.LayerNorm", h)
    return table


def dequantised(blocks: npt.NDArray[np.uint8]) -> Array:
    """Q4_0 bytes, (18 n,), to weights, (32 n,)."""
    packed = blocks.view(_Q4_0)
    halves = np.concatenate([packed["halves"] & 15, packed["halves"] >> 4], axis=1)  # (n, 32)
    values = (halves.astype(np.float32) - 8) * packed["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


def tensors(file: E5File) -> dict[str, Array]:
    """Every weight as float32, by BERT's names."""
    data = np.memmap(file.path, np.uint8, "r")
    weights: dict[str, Array] = {}
    for name, (long, shape) in layout(file.header).items():
        at = file.stored[name]
        raw = np.array(data[at.offset : at.offset + at.size])
        values = dequantised(raw) if at.kind == 1 else raw.view("<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise damaged(file.path, f"tensor {name!r} holds values that are not numbers")
        weights[long] = values.reshape(shape)
    # The pooler is not in the file, and mean pooling does not use it. Left out, the loading library would
    # fill it at random and warn.
    weights["pooler.dense.weight"] = np.zeros((file.header.hidden,) * 2, np.float32)
    weights["pooler.dense.bias"] = np.zeros(file.header.hidden, np.float32)
    return weights


def convert(source: Path, tokenizer: Path, folder: Path) -> None:
    """Write ``source`` and ``tokenizer`` (a ``tokenizer.json``) as a sentence-transformers directory.

    The same files give the same bytes, on any machine.

    Raises:
        JobFailed: a damaged file, or a tokenizer of another model.
    """
    from safetensors.numpy import save_file

    file = read(source)
    text = tokenizer.read_bytes()
    _check_tokenizer(file, text, tokenizer)
    save_file(tensors(file), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "tokenizer.json").write_bytes(text)
    for name, content in _texts(file).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_tokenizer(file: E5File, text: bytes, path: Path) -> None:
    """The tokenizer comes from another package: its pieces must be those that the weights were made for."""
    try:
        pieces = [piece for piece, _ in json.loads(text)["model"]["vocab"]]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "not a Unigram tokenizer") from error
    if pieces != file.pieces:
        raise damaged(path, f"its pieces are not those of {file.path.name}")


def _texts(file: E5File) -> dict[str, Any]:
    header = file.header
    package = "sentence_transformers.models"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": 0.1,
            "dtype": "float32",
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": header.hidden,
            "initializer_range": 0.02,
            "intermediate_size": header.feed_forward,
            "layer_norm_eps": float(f"{header.epsilon:.6g}"),  # float32 1e-12 has digits of its own
            "max_position_embeddings": header.positions,
            "model_type": "bert",
            "num_attention_heads": header.heads,
            "num_hidden_layers": header.layers,
            "pad_token_id": file.pad,
            "type_vocab_size": header.token_types,
            "vocab_size": header.vocabulary,
        },
        "tokenizer_config.json": {
            **_SPECIAL,
            "model_max_length": header.positions,
            "tokenizer_class": "PreTrainedTokenizerFast",  # takes tokenizer.json as it is
        },
        "sentence_bert_config.json": {"max_seq_length": header.positions, "do_lower_case": False},
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"{package}.{name}"}
            for i, (path, name) in enumerate(modules)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": header.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    }
