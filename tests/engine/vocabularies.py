"""Tokenizers of the kinds that decoders have, each made on the spot."""

from __future__ import annotations

from typing import Any

from model_zoo import TEXTS, tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

EOS, UNKNOWN = "<eos>", "<unk>"
BYTES = tokenizer({"eos_token": "<eos>"})
"""Byte-level: letters outside ASCII are three tokens each."""


def _fast(backend: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS, unk_token=UNKNOWN)


def _fallback() -> Any:
    """As SentencePiece's: blanks are ``▁``, letters it lacks are their bytes."""
    words = ["▁", "▁the", "▁river", "r", "i", "v", "e", "t", "h", "a", "b"]
    tokens = ["<unk>", "<eos>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    backend = Tokenizer(
        models.BPE({token: i for i, token in enumerate(tokens)}, [], unk_token=UNKNOWN, byte_fallback=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _fast(backend)


def _word_pieces() -> Any:
    words = ["<unk>", "<eos>", "the", "river", "##s", "a", "##b", "b"]
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token=UNKNOWN))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece(cleanup=False)
    return _fast(backend)


def _suffixes() -> Any:
    """A blank is what ends a word."""
    backend = Tokenizer(models.BPE(unk_token=UNKNOWN, end_of_word_suffix="</w>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.BPEDecoder("</w>")
    special = ["<unk>", "<eos>"]
    trainer = trainers.BpeTrainer(
        vocab_size=120, special_tokens=special, end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    return _fast(backend)


def _metaspace() -> Any:
    pieces = [
        ("<unk>", 0.0),
        ("<eos>", 0.0),
        *((piece, -2.0) for piece in ("▁the", "▁river", "s", "▁a", "b")),
    ]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return _fast(backend)


TOKENIZERS: dict[str, Any] = {
    "bytes": BYTES,
    "fallback": _fallback(),
    "word pieces": _word_pieces(),
    "suffixes": _suffixes(),
    "metaspace": _metaspace(),
}
BYTES.add_tokens([AddedToken("<think>"), AddedToken("  \u00e9", special=False)])
