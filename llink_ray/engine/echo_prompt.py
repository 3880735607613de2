"""A text read as it stands, without a chat format: which token is fed where, and which slots stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llink_ray.engine.vocabulary import Vocabulary
from llink_ray.prompts.builder import DELIMITERS, SLOT_ID, PromptBuilder
from llink_ray.prompts.conversation import SlotRegion
from llink_ray.prompts.message import TEXT_PLACEHOLDER


@dataclass(frozen=True)
class TextToken:
    """A token of the text itself."""

    id: int
    bytes: bytes
    """Its share of the text."""
    place: int | None
    """Where among the fed ids it is; None where slots stand for it."""


@dataclass(frozen=True)
class EchoPrompt:
    """A text in token ids."""

    ids: tuple[int, ...]
    """As they are fed: ``SLOT_ID`` where slots go, and numerals beside them, which the text does not have."""
    listed: tuple[TextToken, ...]
    """All tokens of the text, as its tokenizer cuts it."""


class RawTextPrompt:
    """A text in the tokens of its tokenizer.

    Special tokens written in it are special: it is a whole prompt, not what one of several says.
    """

    def __init__(self, prompt: PromptBuilder, text: str) -> None:
        self._prompt = prompt
        made = prompt.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        self._tokens: list[int] = list(made["input_ids"])
        known = Vocabulary(prompt.tokenizer)
        self._places = _covered(made["offset_mapping"], len(text))
        self._shares = _shares(self._tokens, self._places, text, known)
        self.segments: list[tuple[int, int]] = []
        """Where text stands: what lies between is special tokens."""
        end = 0
        for token, place in zip(self._tokens, self._places, strict=True):
            if known.is_special(token):
                self.segments.append((end, place[0]))
                end = place[1]
        self.segments = [(a, b) for a, b in (*self.segments, (end, len(text))) if text[a:b].strip()]

    def fed(self, regions: Sequence[SlotRegion], slot_counts: Sequence[int]) -> EchoPrompt:
        """What the decoder reads; the i-th sentence of the regions becomes ``slot_counts[i]`` slots."""
        bos, left = self._prompt.tokenizer.bos_token_id, iter(slot_counts)
        ids = [] if bos in (None, *self._tokens[:1]) else [int(bos)]
        listed, begun = list[TextToken](), set[int]()
        for token, (start, end), share in zip(self._tokens, self._places, self._shares, strict=True):
            over = (one for one in regions if start < one.end and max(end, start + 1) > one.start)
            within = next(over, None)
            listed.append(TextToken(token, share, len(ids) if within is None else None))
            if within is None:
                ids.append(token)
            elif within.start not in begun:
                begun.add(within.start)
                first, *others = within.prompt_text.split(TEXT_PLACEHOLDER)
                ids += self._prompt.ids(first)
                for piece in others:
                    ids += [SLOT_ID] * (next(left) + DELIMITERS) + self._prompt.ids(piece)
        return EchoPrompt(tuple(ids), tuple(listed))


def _covered(offsets: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Where tokens start and end, with blanks that tokenizers do not count."""
    found, end = list[tuple[int, int]](), 0
    for start, stop in offsets:
        begin = min(start, end) if stop > start else end
        end = max(stop, end)
        found.append((begin, end))
    if found:
        found[-1] = (found[-1][0], length)
    return found


def _shares(
    tokens: Sequence[int], places: Sequence[tuple[int, int]], text: str, known: Vocabulary
) -> list[bytes]:
    """Each token's bytes of the text; of letters that several share, each has its own."""
    found, first = list[bytes](), 0
    while first < len(tokens):
        last = first + 1
        while last < len(tokens) and places[last][0] < places[last - 1][1]:
            last += 1
        whole = text[places[first][0] : places[last - 1][1]].encode()
        own = [known.bytes_of(token) for token in tokens[first:last]]
        if last - first > 1 and b"".join(own).lstrip(b" ") == whole.lstrip(b" "):
            more = len(b"".join(own)) - len(whole)  # a blank that the tokenizer put before
            for one in own:
                found.append(one[max(0, more) :])
                more -= len(one)
        else:
            found += [whole, *[b""] * (last - first - 1)]
        first = last
    return found
