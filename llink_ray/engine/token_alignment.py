"""Tokens with log-probabilities beside the text: the bytes of the emitted tokens are the emitted text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llink_ray.engine.types import TokenLogprob
from llink_ray.engine.vocabulary import display_name

Chunk = tuple[str, tuple[TokenLogprob, ...]]
"""Text and the tokens that it is made of."""


class TokenAligner:
    """Holds text and tokens back until a character ends where a token does.

    Of a token within which a stop string begins, or with white space that is stripped around the answer, only
    the emitted bytes are kept: none, where it is white space alone.
    """

    def __init__(self, strip: bool) -> None:
        self._strip = strip
        self._text = ""
        self._emitted = 0  # characters, leading white space included
        self._started = False
        self._tokens: deque[tuple[TokenLogprob, int | None]] = deque()  # with ``end`` as in ``push``

    def push(self, token: TokenLogprob, end: int | None) -> None:
        """A token and how many characters the answer has with it; None where it ends inside of one."""
        self._tokens.append((token, end))

    def ready(self, text: str, safe: int) -> Chunk:
        """What can be emitted; ``text`` is new, ``safe`` characters no stop string can take back."""
        self._text += text
        ends = [i for i, (_, end) in enumerate(self._tokens) if end is not None and self._can_end(end, safe)]
        if not ends:
            return "", ()
        tokens = [self._tokens.popleft() for _ in range(ends[-1] + 1)]
        length = (tokens[-1][1] or 0) - self._emitted
        chunk, self._text = self._text[:length], self._text[length:]
        self._emitted += length
        return self._stripped(chunk, [token for token, _ in tokens])

    def _can_end(self, end: int, safe: int) -> bool:
        """Whether text up to there can be emitted: white space waits for what follows it."""
        blank = self._strip and self._text[: max(0, end - self._emitted)][-1:].isspace()
        return end <= safe and not blank

    def last(self, text: str, safe: int, complete: bool) -> Chunk:
        """The rest; without ``complete``, tokens that end inside a character are left out."""
        chunk, tokens = self.ready(text, safe)
        rest = self._text
        if not complete:
            ends = [end for _, end in self._tokens if end is not None and end <= safe]
            rest = rest[: max(ends) - self._emitted] if ends else ""
        rest, more = self._stripped(rest, [token for token, _ in self._tokens], last=True)
        return chunk + rest, (*tokens, *more)

    def _stripped(self, chunk: str, tokens: Sequence[TokenLogprob], last: bool = False) -> Chunk:
        """Text and the tokens that begin with it, without white space around the answer."""
        text = chunk if self._started or not self._strip else chunk.lstrip()
        start = len(chunk[: len(chunk) - len(text)].encode())  # white space is whole characters
        if self._strip and last:
            text = text.rstrip()
        self._started = self._started or bool(text)
        utf8 = b"".join(token.bytes for token in tokens)
        return text, tuple(_clipped(tokens, start, start + _prefix(utf8[start:], text), _prefix(utf8, chunk)))


def _prefix(utf8: bytes, text: str) -> int:
    """Length of the longest prefix that decodes to ``text``."""
    return max((n for n in range(len(utf8) + 1) if utf8[:n].decode(errors="replace") == text), default=0)


def _clipped(tokens: Sequence[TokenLogprob], start: int, end: int, until: int) -> Iterator[TokenLogprob]:
    """Tokens that begin before byte ``until``, with those of their bytes from ``start`` to ``end``."""
    offset = 0
    for token in tokens:
        if token.bytes and offset >= until:
            return
        piece = token.bytes[max(0, start - offset) : max(0, end - offset)]
        offset += len(token.bytes)
        if piece == token.bytes:
            yield token
            continue
        name = display_name(piece)
        top = tuple(
            replace(entry, text=name, bytes=piece) if entry.id == token.id else entry
            for entry in token.top_logprobs
        )
        yield replace(token, text=name, bytes=piece, top_logprobs=top)
