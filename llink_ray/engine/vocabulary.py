"""The bytes that each token adds to a text: a token's text alone may be part of a character."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """Tokens of one tokenizer, by id."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self._special = {i for i, token in added.items() if token.special} | set(tokenizer.all_special_ids)
        self.bytes_of = lru_cache(maxsize=65_536)(self._bytes_of)

    def is_special(self, token_id: int) -> bool:
        """Whether it is a special token, which adds no text."""
        return token_id in self._special

    def name_of(self, token_id: int) -> str:
        """A display name: a special token's own, else :func:`display_name` of its bytes."""
        if token_id in self._special:
            return str(self.tokenizer.convert_ids_to_tokens(token_id))
        return display_name(self.bytes_of(token_id)) or f"token_id:{token_id}"

    def _bytes_of(self, token_id: int) -> bytes:
        """UTF-8 that a token adds to a text; empty for special tokens and unknown ids."""
        token = None if token_id in self._special else self.tokenizer.convert_ids_to_tokens(token_id)
        if token is None:
            return b""
        if self._byte_level:
            try:
                return bytes(map(self._byte_of_letter.__getitem__, token))
            except KeyError:  # an added token, which is stored as plain text
                return str(token).encode()
        if self._byte_fallback and (byte := _BYTE.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        return self._inside_text(token).encode()

    def _inside_text(self, token: str) -> str:
        """Its text between two other tokens: some tokenizers put a blank before a token, some behind it."""
        if not self._decode("a", token, "a").endswith("a"):
            return str(self.tokenizer.decode([self.tokenizer.convert_tokens_to_ids(token)]))
        separator = self._decode("a", "a")[1:-1]
        return self._decode("a", token, "a")[1:-1].removesuffix(separator)

    def _decode(self, *tokens: str) -> str:
        return str(self.tokenizer.convert_tokens_to_string(list(tokens)))

    @cached_property
    def _byte_level(self) -> bool:
        """Whether every byte is written as one letter (byte-level BPE)."""
        return self._decode("a", "Ġ", "a") == "a a"

    @cached_property
    def _byte_fallback(self) -> bool:
        """Whether bytes of characters outside the vocabulary are written ``<0xE0>`` (SentencePiece)."""
        return self._decode("a", "<0x41>", "a") == "aAa"

    @cached_property
    def _byte_of_letter(self) -> dict[str, int]:
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        return {letter: byte for byte, letter in bytes_to_unicode().items()}


def display_name(utf8: bytes) -> str:
    """Bytes as text, or ``bytes:\\xe0\\xbd`` where they are no whole characters: no two look alike."""
    try:
        return utf8.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in utf8)


def character_starts(utf8: bytes) -> list[int]:
    """Byte offset of each character of ``utf8.decode(errors="replace")``."""
    starts, offset = list[int](), 0
    while offset < len(utf8):
        try:
            valid, invalid_at, following = utf8[offset:].decode(), None, len(utf8)
        except UnicodeDecodeError as error:
            valid = utf8[offset : offset + error.start].decode()
            invalid_at, following = offset + error.start, offset + error.end
        for character in valid:
            starts.append(offset)
            offset += len(character.encode())
        if invalid_at is not None:
            starts.append(invalid_at)
        offset = following
    return starts
