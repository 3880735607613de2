"""Tokens to text as they come: whole letters, nothing of a stop string, no blanks around it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from llink_ray.engine.vocabulary import Vocabulary


class Detokenizer:
    """Text of a growing row of tokens; bytes that could still become a letter wait for the next token."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._letters = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """New text."""
        return self._letters.decode(self._vocabulary.bytes_of(token))

    @property
    def whole(self) -> bool:
        """Whether no bytes wait."""
        return not self._letters.getstate()[0]

    def rest(self) -> str:
        """Bytes that no longer become a letter, as the letter that stands for such."""
        return self._letters.decode(b"", final=True)


class StopStringFilter:
    """Holds back what may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """(text that is safe, whether a stop string came)."""
        if not self._stops:
            return text, False
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            return self._held[: min(places)], True
        keep = max(self._begun(stop) for stop in self._stops)
        safe, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return safe, False

    def _begun(self, stop: str) -> int:
        """Letters at the end of what is held that begin ``stop``."""
        most = min(len(stop) - 1, len(self._held))
        return next((n for n in range(most, 0, -1) if self._held.endswith(stop[:n])), 0)

    def rest(self) -> str:
        """What was held back for nothing."""
        held, self._held = self._held, ""
        return held


class StreamingStrip:
    """``str.strip`` for text that comes in pieces."""

    def __init__(self) -> None:
        self._begun = False
        self._blanks = ""

    def push(self, text: str) -> str:
        """Text without the blanks before it; blanks behind it wait for what follows."""
        text = self._blanks + text if self._begun else text.lstrip()
        self._begun = self._begun or bool(text)
        body = text.rstrip()
        self._blanks = text[len(body) :]
        return body


class TextStream:
    """The three in a row, for one answer."""

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str], strip: bool) -> None:
        self._letters, self._stops = Detokenizer(vocabulary), StopStringFilter(stops)
        self._strip = StreamingStrip() if strip else None
        self.seen = 0
        """Letters that came out of the tokens, stop strings included."""
        self.safe = 0
        """Letters of these that no stop string can take back."""

    @property
    def whole(self) -> bool:
        """Whether the last token ended a letter."""
        return self._letters.whole

    def push(self, token: int) -> tuple[str, bool]:
        """(new text, whether a stop string came)."""
        return self._push(self._letters.push(token))

    def _push(self, text: str) -> tuple[str, bool]:
        self.seen += len(text)
        text, stopped = self._stops.push(text)
        return self._out(text), stopped

    def _out(self, text: str) -> str:
        self.safe += len(text)
        return self._strip.push(text) if self._strip else text

    def end(self, cut: bool) -> str:
        """What was still held back; half a letter is left out where the answer was ``cut``."""
        last, stopped = ("", False) if cut else self._push(self._letters.rest())
        return last if stopped else last + self._out(self._stops.rest())
