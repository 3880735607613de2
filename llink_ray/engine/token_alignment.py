"""Tokens with their log-probabilities beside the text: what is said is what the tokens are, byte for byte."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llink_ray.engine.types import TokenLogprob
from llink_ray.engine.vocabulary import display_name

Part = tuple[str, tuple[TokenLogprob, ...]]
"""Text and the tokens that it is made of."""


class TokenAligner:
    """Holds text and tokens back until a letter ends where a token does.

    Of a token within which a stop string begins, or which has blanks that are stripped around the answer, the
    bytes are those that are said of it: none, where it is blank.
    """

    def __init__(self, strip: bool) -> None:
        self._strip = strip
        self._text = ""
        self._given = 0  # letters that left, blanks before the answer included
        self._begun = False
        self._tokens: deque[tuple[TokenLogprob, int | None]] = (
            deque()
        )  # letters behind it; None inside of one

    def push(self, token: TokenLogprob, seen: int | None) -> None:
        """A token, and how many letters the answer has with it; None where it ends inside of one."""
        self._tokens.append((token, seen))

    def ready(self, text: str, safe: int) -> Part:
        """What can be said now; ``text`` is new, ``safe`` letters no stop string takes back."""
        self._text += text
        ends = [i for i, (_, seen) in enumerate(self._tokens) if seen is not None and self._ends(seen, safe)]
        if not ends:
            return "", ()
        found = [self._tokens.popleft() for _ in range(ends[-1] + 1)]
        letters = (found[-1][1] or 0) - self._given
        said, self._text = self._text[:letters], self._text[letters:]
        self._given += letters
        return self._stripped(said, [token for token, _ in found])

    def _ends(self, seen: int, safe: int) -> bool:
        """Whether something may be said up to there: blanks wait for what follows them."""
        blank = self._strip and self._text[: max(0, seen - self._given)][-1:].isspace()
        return seen <= safe and not blank

    def last(self, text: str, safe: int, whole: bool) -> Part:
        """The rest; of an answer that is not ``whole``, tokens that end within a letter are left out."""
        said, tokens = self.ready(text, safe)
        rest = self._text
        if not whole:
            ends = [seen for _, seen in self._tokens if seen is not None and seen <= safe]
            rest = rest[: max(ends) - self._given] if ends else ""
        more = self._stripped(rest, [token for token, _ in self._tokens], last=True)
        return said + more[0], (*tokens, *more[1])

    def _stripped(self, said: str, tokens: Sequence[TokenLogprob], last: bool = False) -> Part:
        """Tokens as far as ``said`` goes, which they begin with, both without blanks around the answer."""
        bare = said if self._begun or not self._strip else said.lstrip()
        begin = len(said[: len(said) - len(bare)].encode())  # blanks are whole letters
        if self._strip and last:
            bare = bare.rstrip()
        self._begun = self._begun or bool(bare)
        raw = b"".join(token.bytes for token in tokens)
        spoken = raw[begin:]
        ends = [n for n in range(len(spoken) + 1) if spoken[:n].decode(errors="replace") == bare]
        until = max(n for n in range(len(raw) + 1) if raw[:n].decode(errors="replace") == said)
        return bare, tuple(_cut(tokens, begin, begin + max(ends, default=0), until))


def _cut(tokens: Sequence[TokenLogprob], begin: int, end: int, until: int) -> Iterator[TokenLogprob]:
    """Tokens that start before byte ``until``, with those of their bytes from ``begin`` to ``end``."""
    place = 0
    for token in tokens:
        if token.bytes and place >= until:
            return
        piece = token.bytes[max(0, begin - place) : max(0, end - place)]
        place += len(token.bytes)
        if piece == token.bytes:
            yield token
            continue
        text = display_name(piece)
        top = tuple(replace(one, text=text, bytes=piece) if one.id == token.id else one for one in token.top)
        yield replace(token, text=text, bytes=piece, top=top)
