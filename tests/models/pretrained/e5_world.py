"""A tiny encoder as a packed 4-bit file with its tokenizer, and the arithmetic that it stands for."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

H, LAYERS, HEADS, FF, POSITIONS, TYPES, VOCABULARY = 32, 2, 4, 64, 48, 2, 40
EPSILON = 1e-12
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = ["the", "cat", "dog", "sat", "ran", "on", "a", "mat"]
PIECES = [*SPECIAL, *(f"▁{word}" for word in WORDS), "▁", *"abcdefghij", "<mask>"]
FloatArray = npt.NDArray[np.float32]


def q4_0(values: FloatArray) -> bytes:
    """Weights as Q4_0 blocks, written a weight at a time."""
    out = b""
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        codes = [int(np.clip(round(float(v) / float(scale)), -8, 7)) + 8 for v in block]
        out += scale.tobytes() + bytes(codes[j] | codes[j + 16] << 4 for j in range(16))
    return out


def read_q4_0(data: bytes) -> FloatArray:
    """The other way, a weight at a time."""
    values: list[float] = []
    for at in range(0, len(data), 18):
        (scale,) = struct.unpack_from("<e", data, at)
        codes = data[at + 2 : at + 18]
        values += [((c & 15) - 8) * scale for c in codes] + [((c >> 4) - 8) * scale for c in codes]
    return np.array(values, np.float32)


def e5_shapes() -> dict[str, tuple[int, ...]]:
    """Tensors of the file by its own names."""
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (VOCABULARY, H),
        "emb.pos": (POSITIONS, H),
        "emb.type": (TYPES, H),
        "emb.ln.w": (H,),
        "emb.ln.b": (H,),
    }
    for i in range(LAYERS):
        for name, shape in {
            "q": (H, H),
            "k": (H, H),
            "v": (H, H),
            "ao": (H, H),
            "fi": (FF, H),
            "fo": (H, FF),
        }.items():
            shapes |= {f"l{i}.{name}.w": shape, f"l{i}.{name}.b": shape[:1]}
        for name in ("aln", "oln"):
            shapes |= {f"l{i}.{name}.w": (H,), f"l{i}.{name}.b": (H,)}
    return shapes


def e5_file(path: Path, seed: int = 0) -> dict[str, FloatArray]:
    """Write a random E5S1 file; its tensors as an engine would read them."""
    rng = np.random.default_rng(seed)
    blob = "".join(PIECES).encode()
    offsets = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)])
    head = b"E5S1" + struct.pack("<I7ifi", 1, H, LAYERS, HEADS, FF, VOCABULARY, POSITIONS, TYPES, EPSILON, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob))
    head += offsets.astype("<u4").tobytes() + np.zeros(len(PIECES), "<f4").tobytes() + blob
    head += struct.pack("<iI", 1, 12) + bytes(12) + struct.pack("<i", len(e5_shapes()))
    tensors, stored = {}, {}
    for name, shape in e5_shapes().items():
        values = rng.normal(0, 0.3, shape).astype(np.float32) + (name.endswith("ln.w"))
        quantised = name == "emb.word" or (name.endswith(".w") and len(shape) == 2)
        data = q4_0(values) if quantised else values.tobytes()
        stored[name] = (int(quantised), values.size, data)
        tensors[name] = (read_q4_0(data) if quantised else values).reshape(shape)
    size = len(head) + sum(2 + len(name) + 1 + 4 + 8 + 8 for name in stored)
    body = b""
    for name, (kind, count, data) in stored.items():
        body += bytes(-(size + len(body)) % 32)
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, count, size + len(body), len(data))
        body += data
    path.write_bytes(head + body)
    return tensors


def unigram_file(path: Path, pieces: list[str] = PIECES) -> None:
    """A ``tokenizer.json`` in the manner of XLM-R."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

    scores = [(piece, 0.0 if piece in SPECIAL else -float(len(piece) < 3) - 1) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in (*SPECIAL, "<mask>")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(path))


def read_aloud(t: dict[str, FloatArray], ids: list[int]) -> FloatArray:
    """The sentence vector by BERT's arithmetic, (d,): post-norm, exact GELU, mean, unit length."""
    from scipy.special import erf

    def norm(x: FloatArray, name: str) -> FloatArray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        normed: FloatArray = scaled * t[f"{name}.w"] + t[f"{name}.b"]
        return normed

    def linear(x: FloatArray, name: str) -> FloatArray:
        return x @ t[f"{name}.w"].T + t[f"{name}.b"]

    x = norm(t["emb.word"][ids] + t["emb.pos"][: len(ids)] + t["emb.type"][0], "emb.ln")  # (T, d)
    for i in range(LAYERS):
        q, k, v = (linear(x, f"l{i}.{n}").reshape(len(ids), HEADS, -1).swapaxes(0, 1) for n in "qkv")
        scores = q @ k.swapaxes(1, 2) / np.sqrt(H / HEADS)  # (heads, T, T)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        x = norm(x + linear(mixed.swapaxes(0, 1).reshape(len(ids), H), f"l{i}.ao"), f"l{i}.aln")
        inner = linear(x, f"l{i}.fi")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(x + linear(inner, f"l{i}.fo"), f"l{i}.oln")
    mean = x.mean(0)
    unit: FloatArray = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit
