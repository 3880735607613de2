"""The bytes that a token stands for: those are its identity, since its text may be a piece of a letter."""

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

    def is_special(self, token: int) -> bool:
        """Whether it is no text."""
        return token in self._special

    def name_of(self, token: int) -> str:
        """What it is called: a special token's own name, else as :func:`display_name`."""
        if token in self._special:
            return str(self.tokenizer.convert_ids_to_tokens(token))
        return display_name(self.bytes_of(token)) or f"token_id:{token}"

    def _bytes_of(self, token: int) -> bytes:
        """What it adds to a text: nothing where it is special or no token at all."""
        written = None if token in self._special else self.tokenizer.convert_ids_to_tokens(token)
        if written is None:
            return b""
        if self._byte_level:
            try:
                return bytes(map(self._letters.__getitem__, written))
            except KeyError:  # added by hand, as it stands
                return str(written).encode()
        if self._byte_fallback and (byte := _BYTE.fullmatch(written)):
            return bytes([int(byte[1], 16)])
        return self._between(written).encode()

    def _between(self, written: str) -> str:
        """Its text between two others: some tokenizers write a blank before a token, some behind it."""
        if not self._decoded("a", written, "a").endswith("a"):
            return str(self.tokenizer.decode([self.tokenizer.convert_tokens_to_ids(written)]))
        apart = self._decoded("a", "a")[1:-1]
        return self._decoded("a", written, "a")[1:-1].removesuffix(apart)

    def _decoded(self, *written: str) -> str:
        return str(self.tokenizer.convert_tokens_to_string(list(written)))

    @cached_property
    def _byte_level(self) -> bool:
        """Whether every byte is written as a letter of its own (GPT-2 and most since)."""
        return self._decoded("a", "Ġ", "a") == "a a"

    @cached_property
    def _byte_fallback(self) -> bool:
        """Whether bytes of letters that it lacks are written as ``<0xE0>`` (SentencePiece)."""
        return self._decoded("a", "<0x41>", "a") == "aAa"

    @cached_property
    def _letters(self) -> dict[str, int]:
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        return {letter: byte for byte, letter in bytes_to_unicode().items()}


def display_name(spoken: bytes) -> str:
    """Bytes as text; where they are no whole letters, as ``bytes:\\xe0\\xbd``, so that no two look alike."""
    try:
        return spoken.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spoken)


def character_starts(spoken: bytes) -> list[int]:
    """Where each letter of ``spoken.decode(errors="replace")`` begins, in bytes."""
    starts, begun = list[int](), 0
    while begun < len(spoken):
        try:
            whole, end = spoken[begun:].decode(), len(spoken)
            broken = None
        except UnicodeDecodeError as error:
            whole, broken = spoken[begun : begun + error.start].decode(), begun + error.start
            end = begun + error.end
        for letter in whole:
            starts.append(begun)
            begun += len(letter.encode())
        if broken is not None:
            starts.append(broken)
        begun = end
    return starts
