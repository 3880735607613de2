"""A text that is read as it stands, without a chat format: its tokens, some of them replaced by slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llink_ray.engine.vocabulary import Vocabulary
from llink_ray.prompts import DELIMITERS, SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.conversation import SlotRegion
from llink_ray.prompts.message import TEXT_PLACEHOLDER


@dataclass(frozen=True)
class TextToken:
    """A token of the text itself."""

    id: int
    bytes: bytes
    """Its share of the text."""
    position: int | None
    """Index among the prompt's ids; None where slots stand for it."""


@dataclass(frozen=True)
class EchoPrompt:
    """A text in token ids."""

    ids: tuple[int, ...]
    """The prompt: ``SLOT_ID`` where slots go, and numerals beside them, which the text does not have."""
    text_tokens: tuple[TextToken, ...]
    """All tokens of the text, as its tokenizer splits it."""


class RawTextPrompt:
    """A text in its tokenizer's tokens. Special tokens written in it are special: it is a whole prompt."""

    def __init__(self, prompt: PromptBuilder, text: str) -> None:
        self._prompt = prompt
        encoding = prompt.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        self._ids: list[int] = list(encoding["input_ids"])
        vocabulary = Vocabulary(prompt.tokenizer)
        self._spans = _gapless(encoding["offset_mapping"], len(text))
        self._shares = _shares(self._ids, self._spans, text, vocabulary)
        self.segments: list[tuple[int, int]] = []
        """Spans of text between special tokens."""
        end = 0
        for token_id, span in zip(self._ids, self._spans, strict=True):
            if vocabulary.is_special(token_id):
                self.segments.append((end, span[0]))
                end = span[1]
        self.segments = [(a, b) for a, b in (*self.segments, (end, len(text))) if text[a:b].strip()]

    def with_slots(self, regions: Sequence[SlotRegion], slot_counts: Sequence[int]) -> EchoPrompt:
        """The prompt; the i-th sentence of the regions becomes ``slot_counts[i]`` slots."""
        bos, counts = self._prompt.tokenizer.bos_token_id, iter(slot_counts)
        ids = [] if bos in (None, *self._ids[:1]) else [int(bos)]
        text_tokens, replaced = list[TextToken](), set[int]()
        for token_id, (start, end), share in zip(self._ids, self._spans, self._shares, strict=True):
            covering = (part for part in regions if start < part.end and max(end, start + 1) > part.start)
            region = next(covering, None)
            text_tokens.append(TextToken(token_id, share, len(ids) if region is None else None))
            if region is None:
                ids.append(token_id)
            elif region.start not in replaced:
                replaced.add(region.start)
                before, *others = region.prompt_text.split(TEXT_PLACEHOLDER)
                ids += self._prompt.token_ids(before)
                for piece in others:
                    ids += [SLOT_ID] * (next(counts) + DELIMITERS) + self._prompt.token_ids(piece)
        return EchoPrompt(tuple(ids), tuple(text_tokens))


def _gapless(offsets: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Start and end of tokens, including blanks that tokenizers leave out of the offsets."""
    spans, previous = list[tuple[int, int]](), 0
    for start, end in offsets:
        begin = min(start, previous) if end > start else previous
        previous = max(end, previous)
        spans.append((begin, previous))
    if spans:
        spans[-1] = (spans[-1][0], length)
    return spans


def _shares(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], text: str, vocabulary: Vocabulary
) -> list[bytes]:
    """Each token's bytes of the text; tokens that share a character have their own bytes of it."""
    shares, first = list[bytes](), 0
    while first < len(ids):
        last = first + 1
        while last < len(ids) and spans[last][0] < spans[last - 1][1]:
            last += 1
        whole = text[spans[first][0] : spans[last - 1][1]].encode()
        own = [vocabulary.bytes_of(token_id) for token_id in ids[first:last]]
        if last - first > 1 and b"".join(own).lstrip(b" ") == whole.lstrip(b" "):
            surplus = len(b"".join(own)) - len(whole)  # a blank that the tokenizer put before
            for piece in own:
                shares.append(piece[max(0, surplus) :])
                surplus -= len(piece)
        else:
            shares += [whole, *[b""] * (last - first - 1)]
        first = last
    return shares
