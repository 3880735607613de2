"""The one prompt of training and inference: instruction, then the text or the slots that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.prompts.chat_format import ChatFormat, Said
from llink_ray.prompts.message import Part, numbered
from llink_ray.settings import SlotSettings
from llink_ray.text.languages import Language
from llink_ray.text.numerals import numerals

SLOT = -1
"""Stands in a row of token ids where a soft slot (or one of its two marks) goes."""
PLACE = "\ufffc"  # OBJECT REPLACEMENT CHARACTER
"""Stands in a message where a foreign text goes; of a person's own text it is taken out."""
_ANSWER = "\ufffb"


@dataclass(frozen=True)
class Placed:
    """A conversation in token ids."""

    ids: list[int]
    """``SLOT`` where slots go."""
    order: list[int]
    """Which ``PLACE`` of the messages each group of slots is: formats may move a message."""


class Prompt:
    """Prompts in the decoder's own chat format, or a plain one where it has none."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.format = ChatFormat(tokenizer)
        self.end = self._end()
        self.around = lru_cache(maxsize=4_096)(self._around)
        self._frame_ids = lru_cache(maxsize=1_024)(self._format_ids)

    def ids(self, text: str) -> list[int]:
        """Token ids of a person's text with nothing added.

        A special token written in it is text like any other: nobody ends a turn by typing its end.
        """
        made = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(made["input_ids"])

    def _format_ids(self, text: str) -> list[int]:
        """Token ids of what the chat format itself writes."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    def render(self, said: Said, answer: str | None = None) -> str:
        """As :meth:`ChatFormat.render`."""
        return self.format.render(said, answer)

    def _pieces(self, said: Said) -> tuple[list[list[int]], list[int]]:
        """Token ids before, between and behind the places of foreign text, and which place each is.

        What the format writes and what was said are tokenized apart: only the former may be special tokens.
        """
        laid = self.format.lay(said)
        first = [0]
        for _, content in said:
            first.append(first[-1] + content.count(PLACE))
        pieces, order = [list(self._frame_ids(laid.frame[0]))], list[int]()
        for message, text, after in zip(laid.order, laid.texts, laid.frame[1:], strict=True):
            begun, *others = text.split(PLACE)
            pieces[-1] += self.ids(begun)
            pieces += map(self.ids, others)
            order += range(first[message], first[message + 1])
            pieces[-1] += self._frame_ids(after)
        return pieces, order

    def _around(self, instruction: str, content: str) -> tuple[tuple[int, ...], ...]:
        """Token ids before, between and behind the places of foreign text in ``content``."""
        pieces, _ = self._pieces([("user", f"{instruction.replace(PLACE, ' ')}\n{content}")])
        return tuple(map(tuple, pieces))

    def placed(self, said: Said, places: Sequence[int] = ()) -> Placed:
        """Token ids of (role, content) messages, up to where the decoder speaks.

        The i-th ``PLACE`` in them becomes ``places[i]`` slot places.

        Raises:
            LlinkError: the chat format does not take these messages; see :meth:`ChatFormat.lay`.
        """
        (ids, *others), order = self._pieces(said)
        assert len(order) == len(places), "as many places as texts"
        for place, piece in zip(order, others, strict=True):
            ids += [SLOT] * places[place] + piece
        return Placed(ids, order)

    def conversation(self, said: Said, places: Sequence[int] = ()) -> list[int]:
        """The token ids of :meth:`placed`."""
        return self.placed(said, places).ids

    def raw(self, instruction: str, text: str) -> list[int]:
        """Token ids of the prompt with the text itself in it: what slots replace."""
        before, after = self.around(instruction, PLACE)
        return [*before, *self.ids(text), *after]

    def behind(self, instruction: str) -> tuple[int, ...]:
        """Token ids behind the place of the text, without numerals."""
        return self.around(instruction, PLACE)[1]

    def with_slots(
        self,
        instruction: str,
        message: str | Sequence[Part],
        slots: SlotSettings,
        language: Language | None = None,
    ) -> list[int]:
        """Token ids of the prompt with K + 2 slot places where each foreign sentence would stand.

        ``message`` is one foreign text, or sentences in order; those that are English stand there as text.
        Several are numbered (:func:`llink_ray.prompts.message.numbered`), as instructions name them.
        Variant ``none`` has no slots: all text stands there. ``language`` says what the separators in the
        text's numbers mean; without it they stay as written.
        """
        parts = [Part(message)] if isinstance(message, str) else message
        blank = "" if len(parts) == 1 else " "
        if slots.variant == "none":
            return self.raw(instruction, numbered([f"{blank}{part.text}" for part in parts]))
        content = numbered(
            [
                f"{PLACE}{beside(numerals(part.text, language)) if slots.numerals else ''}"
                if part.foreign
                else f"{blank}{part.text.replace(PLACE, ' ')}"
                for part in parts
            ]
        )
        first, *others = self.around(instruction, content)
        places = [SLOT] * (slots.count + 2)
        return [*first, *(i for piece in others for i in (*places, *piece))]

    def answer(self, text: str) -> list[int]:
        """Token ids of an answer with its end."""
        return [*self.ids(text), self.end]

    def _end(self) -> int:
        """The special token that the chat format puts behind an answer, else the end of sequence.

        A word or a blank will not do: generation stops at it.
        """
        added = self.tokenizer.added_tokens_decoder
        special = {i for i, token in added.items() if token.special} | set(self.tokenizer.all_special_ids)
        _, answered, suffix = self.render([("user", "Hello")], _ANSWER).rpartition(_ANSWER)
        if not answered:
            raise LlinkError("this decoder's chat format leaves out what the decoder answers: choose another")
        eos = self.tokenizer.eos_token_id
        assert eos is not None, "a decoder's tokenizer names its end of sequence"
        return int(next((i for i in self._format_ids(suffix) if i in special), eos))


def beside(numerals: list[str]) -> str:
    """The numerals lane: ASCII numbers that stand beside the slots."""
    return f" ({', '.join(numerals)})" if numerals else ""
