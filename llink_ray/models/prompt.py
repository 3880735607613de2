"""The one prompt of training and inference: instruction, then the text or the slots that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

from llink_ray.languages import Language
from llink_ray.message import Part
from llink_ray.numerals import numerals
from llink_ray.settings import SlotSettings

SLOT = -1
"""Stands in a row of token ids where a soft slot (or one of its two marks) goes."""
_TEXT = "\ufffc"  # OBJECT REPLACEMENT CHARACTER: no instruction holds it
_SAID, _ANSWER = "\ufff9", "\ufffb"
_DATE = "26 Jul 2024"
"""Templates that write today's date (Llama 3) take it from here: a bundle's prompt must not age."""


class Prompt:
    """Prompts in the decoder's own chat format, or a plain one where it has none."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.end = self._end()
        self.around = lru_cache(maxsize=4_096)(self._around)

    def ids(self, text: str) -> list[int]:
        """Token ids of a person's text with nothing added.

        A special token written in it is text like any other: nobody ends a turn by typing its end.
        """
        made = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(made["input_ids"])

    def _format_ids(self, text: str) -> list[int]:
        """Token ids of what the chat format itself writes."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """Token ids of the chat format before and behind what a person says."""
        before, after = self.render(_SAID).split(_SAID)
        return self._format_ids(before), self._format_ids(after)

    def render(self, content: str, answer: str | None = None) -> str:
        """The conversation as text; without ``answer``, up to where the decoder speaks."""
        if getattr(self.tokenizer, "chat_template", None):
            messages = [{"role": "user", "content": content}]
            if answer is not None:
                messages.append({"role": "assistant", "content": answer})
            rendered: str = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None, date_string=_DATE
            )
            return rendered
        start = self.tokenizer.bos_token or ""
        finish = (self.tokenizer.eos_token or "") if answer is not None else ""
        return f"{start}{content}\n\nAnswer: {answer or ''}{finish}"

    def _around(self, instruction: str, content: str) -> tuple[tuple[int, ...], ...]:
        """Token ids before, between and behind the places of foreign text in ``content``."""
        before, after = self._frame
        pieces = [self.ids(piece) for piece in f"{instruction.replace(_TEXT, ' ')}\n{content}".split(_TEXT)]
        pieces[0] = before + pieces[0]
        pieces[-1] = pieces[-1] + after
        return tuple(map(tuple, pieces))

    def raw(self, instruction: str, text: str) -> list[int]:
        """Token ids of the prompt with the text itself in it: what slots replace."""
        before, after = self.around(instruction, _TEXT)
        return [*before, *self.ids(text), *after]

    def behind(self, instruction: str) -> tuple[int, ...]:
        """Token ids behind the place of the text, without numerals."""
        return self.around(instruction, _TEXT)[1]

    def with_slots(
        self,
        instruction: str,
        message: str | Sequence[Part],
        slots: SlotSettings,
        language: Language | None = None,
    ) -> list[int]:
        """Token ids of the prompt with K + 2 slot places where each foreign sentence would stand.

        ``message`` is one foreign text, or sentences in order; those that are English stand there as text.
        Variant ``none`` has no slots: all text stands there. ``language`` says what the separators in the
        text's numbers mean; without it they stay as written.
        """
        parts = [Part(message)] if isinstance(message, str) else message
        if slots.variant == "none":
            return self.raw(instruction, " ".join(part.text for part in parts))
        content = " ".join(
            f"{_TEXT}{beside(numerals(part.text, language)) if slots.numerals else ''}"
            if part.foreign
            else part.text.replace(_TEXT, " ")
            for part in parts
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
        suffix = self.render("", _ANSWER).split(_ANSWER)[-1]
        eos = self.tokenizer.eos_token_id
        assert eos is not None, "a decoder's tokenizer names its end of sequence"
        return int(next((i for i in self._format_ids(suffix) if i in special), eos))


def beside(numerals: list[str]) -> str:
    """The numerals lane: ASCII numbers that stand beside the slots."""
    return f" ({', '.join(numerals)})" if numerals else ""
