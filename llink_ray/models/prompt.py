"""The one prompt of training and inference: instruction, then the text or the slots that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2.exceptions import TemplateError

from llink_ray.errors import LlinkError
from llink_ray.languages import Language
from llink_ray.message import Part, numbered
from llink_ray.numerals import numerals
from llink_ray.settings import SlotSettings

SLOT = -1
"""Stands in a row of token ids where a soft slot (or one of its two marks) goes."""
PLACE = "\ufffc"  # OBJECT REPLACEMENT CHARACTER
"""Stands in a message where a foreign text goes; of a person's own text it is taken out."""
_SAID, _ANSWER = "\ufff9", "\ufffb"
_DATE = "26 Jul 2024"
"""Templates that write today's date (Llama 3) take it from here: a bundle's prompt must not age."""


class Prompt:
    """Prompts in the decoder's own chat format, or a plain one where it has none."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.end = self._end()
        self.around = lru_cache(maxsize=4_096)(self._around)
        self._frame = lru_cache(maxsize=256)(self._frame_ids)

    def ids(self, text: str) -> list[int]:
        """Token ids of a person's text with nothing added.

        A special token written in it is text like any other: nobody ends a turn by typing its end.
        """
        made = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(made["input_ids"])

    def _format_ids(self, text: str) -> list[int]:
        """Token ids of what the chat format itself writes."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    def _frame_ids(self, roles: tuple[str, ...]) -> list[list[int]]:
        """Token ids of the chat format before, between and behind what is said in these roles."""
        pieces = self.render([(role, _SAID) for role in roles]).split(_SAID)
        return [self._format_ids(piece) for piece in pieces]

    def render(self, said: Sequence[tuple[str, str]], answer: str | None = None) -> str:
        """(role, content) messages as text; without ``answer``, up to where the decoder speaks.

        Raises:
            LlinkError: the chat format does not take these roles in this order.
        """
        if getattr(self.tokenizer, "chat_template", None):
            messages = [{"role": role, "content": content} for role, content in said]
            if answer is not None:
                messages.append({"role": "assistant", "content": answer})
            try:
                rendered: str = self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=answer is None, date_string=_DATE
                )
            except TemplateError as error:
                roles = ", ".join(role for role, _ in said)
                raise LlinkError(
                    f"this decoder's chat format does not take messages of {roles} in this order ({error})"
                ) from error
            return rendered
        finish = self.tokenizer.eos_token or ""
        told = [
            f"Answer: {content}{finish}\n\n" if role == "assistant" else f"{content}\n\n"
            for role, content in said
        ]
        start, closing = self.tokenizer.bos_token or "", "" if answer is None else f"{answer}{finish}"
        return f"{start}{''.join(told)}Answer: {closing}"

    def _around(self, instruction: str, content: str) -> tuple[tuple[int, ...], ...]:
        """Token ids before, between and behind the places of foreign text in ``content``."""
        before, after = self._frame(("user",))
        pieces = [self.ids(piece) for piece in f"{instruction.replace(PLACE, ' ')}\n{content}".split(PLACE)]
        pieces[0] = before + pieces[0]
        pieces[-1] = pieces[-1] + after
        return tuple(map(tuple, pieces))

    def conversation(self, said: Sequence[tuple[str, str]], places: Sequence[int] = ()) -> list[int]:
        """Token ids of (role, content) messages, up to where the decoder speaks.

        The i-th ``PLACE`` in them becomes ``places[i]`` slot places.

        Raises:
            LlinkError: the chat format does not take these roles in this order.
        """
        before, *behind = self._frame(tuple(role for role, _ in said))
        ids, left = list(before), iter(places)
        for (_, content), after in zip(said, behind, strict=True):
            first, *others = content.split(PLACE)
            ids += self.ids(first)
            for piece in others:
                ids += [SLOT] * next(left) + self.ids(piece)
            ids += after
        assert next(left, None) is None, "as many places as texts"
        return ids

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
        Several are numbered (:func:`llink_ray.message.numbered`), as instructions name them.
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
        suffix = self.render([("user", "")], _ANSWER).split(_ANSWER)[-1]
        eos = self.tokenizer.eos_token_id
        assert eos is not None, "a decoder's tokenizer names its end of sequence"
        return int(next((i for i in self._format_ids(suffix) if i in special), eos))


def beside(numerals: list[str]) -> str:
    """The numerals lane: ASCII numbers that stand beside the slots."""
    return f" ({', '.join(numerals)})" if numerals else ""
