"""Streaming text of an answer: whole characters, nothing of a stop string, no white space around it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from llink_ray.engine.vocabulary import Vocabulary


class Detokenizer:
    """Text of tokens as they come; bytes that may still become a character wait for the next token."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """New text."""
        return self._decoder.decode(self._vocabulary.bytes_of(token_id))

    @property
    def complete(self) -> bool:
        """Whether no bytes wait."""
        return not self._decoder.getstate()[0]

    def flush(self) -> str:
        """Bytes that no longer become a character, as the replacement character."""
        return self._decoder.decode(b"", final=True)


class StopStringFilter:
    """Holds back text that may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """(text that no stop string can take back, whether one was found)."""
        if not self._stops:
            return text, False
        self._held += text
        positions = [position for stop in self._stops if (position := self._held.find(stop)) >= 0]
        if positions:
            return self._held[: min(positions)], True
        end = len(self._held) - max(map(self._overlap, self._stops))
        safe, self._held = self._held[:end], self._held[end:]
        return safe, False

    def _overlap(self, stop: str) -> int:
        """Characters at the end of the held text with which ``stop`` begins."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)

    def flush(self) -> str:
        """The held text, at the end of an answer."""
        held, self._held = self._held, ""
        return held


class StreamingStrip:
    """``str.strip`` for text that comes in pieces."""

    def __init__(self) -> None:
        self._started = False
        self._trailing = ""

    def push(self, text: str) -> str:
        """Text without leading white space; trailing white space waits for what follows."""
        text = self._trailing + text if self._started else text.lstrip()
        self._started = self._started or bool(text)
        body = text.rstrip()
        self._trailing = text[len(body) :]
        return body


class TextStream:
    """The three in a row, for one answer."""

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str], strip: bool) -> None:
        self._detokenizer, self._stops = Detokenizer(vocabulary), StopStringFilter(stops)
        self._strip = StreamingStrip() if strip else None
        self.decoded = 0
        """Characters decoded so far, stop strings included."""
        self.safe = 0
        """Characters of these that no stop string can take back."""

    @property
    def complete(self) -> bool:
        """Whether the last token ended a character."""
        return self._detokenizer.complete

    def push(self, token_id: int) -> tuple[str, bool]:
        """(new text, whether a stop string was found)."""
        return self._push(self._detokenizer.push(token_id))

    def _push(self, text: str) -> tuple[str, bool]:
        self.decoded += len(text)
        text, stopped = self._stops.push(text)
        return self._emit(text), stopped

    def _emit(self, text: str) -> str:
        self.safe += len(text)
        return self._strip.push(text) if self._strip else text

    def end(self, cut: bool) -> str:
        """The text still held back; part of a character is left out where the answer was ``cut``."""
        text, stopped = ("", False) if cut else self._push(self._detokenizer.flush())
        return text if stopped else text + self._emit(self._stops.flush())
