"""The prompts of training, evaluation and serving: messages to token ids, with positions for slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.prompts import DELIMITERS, SLOT_ID
from llink_ray.prompts.chat_format import ChatFormat, Messages
from llink_ray.prompts.message import TEXT_PLACEHOLDER, ForeignSentence, Segment, number_sentences
from llink_ray.settings import SlotSettings
from llink_ray.text.languages import Language

_ANSWER_MARKER = "\ufffb"
_CACHED_CHARACTERS = 1_000
"""Messages up to this length are cached: training asks the same instructions again and again."""

_Pieces = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Prompt:
    """A conversation in token ids."""

    ids: list[int]
    """``SLOT_ID`` where slots go."""
    order: tuple[int, ...]
    """Index of the sentence that each group of slots stands for: chat templates may move a message."""


class PromptBuilder:
    """Prompts of a decoder, in its chat format.

    ``system`` is the system message of conversations that bring none of their own; None leaves them to the
    chat template, which may write a text of its own (``decoder.system``).
    """

    def __init__(self, tokenizer: Any, system: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.chat_format = ChatFormat(tokenizer)
        self.system = system
        self._template_ids = lru_cache(maxsize=1_024)(self._ids_of_template)
        self._cached_pieces = lru_cache(maxsize=4_096)(self._pieces)
        self.end_id = self._answer_end()

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a person's text, nothing added.

        A special token written in it is text like any other: nobody ends a turn by typing its end.
        """
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _ids_of_template(self, text: str) -> list[int]:
        """Token ids of what the chat template itself writes."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    def _pieces(self, messages: Messages) -> tuple[_Pieces, tuple[int, ...]]:
        """Token ids before, between and behind the placeholders, and the index of each placeholder.

        What the template writes and what the messages say are tokenised apart: only the former may hold
        special tokens.
        """
        chat = self.chat_format.split(messages)
        first = [0]
        for _, content in messages:
            first.append(first[-1] + content.count(TEXT_PLACEHOLDER))
        pieces, order = [list(self._template_ids(chat.template[0]))], list[int]()
        for message, content, after in zip(chat.order, chat.contents, chat.template[1:], strict=True):
            head, *others = content.split(TEXT_PLACEHOLDER)
            pieces[-1] += self.token_ids(head)
            pieces += map(self.token_ids, others)
            order += range(first[message], first[message + 1])
            pieces[-1] += self._template_ids(after)
        return tuple(map(tuple, pieces)), tuple(order)

    @cached_property
    def _opening(self) -> list[tuple[str, str]]:
        """The system message, if there is one and the template takes it."""
        opening = [] if self.system is None else [("system", self.system)]
        try:
            self.chat_format.split([*opening, ("user", "Hello")])
        except LlinkError:
            return []
        return opening

    def _fill(self, messages: Messages, fillings: Sequence[Sequence[int]]) -> Prompt:
        """The i-th placeholder of the messages becomes ``fillings[i]``."""
        if not any(role in ("system", "developer") for role, _ in messages):
            messages = [*self._opening, *messages]
        short = sum(len(content) for _, content in messages) <= _CACHED_CHARACTERS
        (head, *others), order = self._cached_pieces(tuple(messages)) if short else self._pieces(messages)
        ids = list(head)
        for index, piece in zip(order, others, strict=True):
            ids += fillings[index]
            ids += piece
        return Prompt(ids, order)

    def build(self, messages: Messages, slot_counts: Sequence[int] = ()) -> Prompt:
        """Token ids of (role, content) messages, up to where the decoder's answer begins.

        The i-th ``TEXT_PLACEHOLDER`` in them becomes ``slot_counts[i]`` slots between their delimiters.

        Raises:
            LlinkError: the chat format does not take these messages; see :meth:`ChatFormat.split`.
        """
        return self._fill(messages, [[SLOT_ID] * (count + DELIMITERS) for count in slot_counts])

    def text_prompt(self, instruction: str, text: str) -> list[int]:
        """Token ids of an instruction about a text that itself stands in the prompt."""
        content = f"{instruction.replace(TEXT_PLACEHOLDER, ' ')}\n{TEXT_PLACEHOLDER}"
        return self._fill([("user", content)], [self.token_ids(text)]).ids

    def slot_prompt(
        self,
        instruction: str,
        text: str | Sequence[Segment],
        slots: SlotSettings,
        language: Language | None = None,
    ) -> list[int]:
        """Token ids of an instruction about one foreign text, or about sentences in order.

        Slots stand for foreign sentences, English ones stand there as text. Where ``slots`` has no slots, all
        text stands there. ``language`` says what the separators in numbers mean; without it they stay as
        written.
        """
        segments = [Segment(text)] if isinstance(text, str) else text
        if not slots.uses_slots:
            return self.text_prompt(instruction, number_sentences([segment.text for segment in segments]))
        items, slot_counts = list[str](), list[int]()
        for segment in segments:
            if segment.foreign:
                sentence = ForeignSentence.of(segment.text, slots, language)
                items.append(sentence.prompt_text)
                slot_counts.append(sentence.slot_count)
            else:
                items.append(segment.text.replace(TEXT_PLACEHOLDER, " "))
        content = f"{instruction.replace(TEXT_PLACEHOLDER, ' ')}\n{number_sentences(items)}"
        return self.build([("user", content)], slot_counts).ids

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer with its end."""
        return [*self.token_ids(text), self.end_id]

    def _answer_end(self) -> int:
        """The special token that the chat template puts behind an answer, else the end of sequence.

        An ordinary token will not do: generation stops at it.
        """
        added = self.tokenizer.added_tokens_decoder
        special = {i for i, token in added.items() if token.special} | set(self.tokenizer.all_special_ids)
        answered = self.chat_format.render([("user", "Hello")], _ANSWER_MARKER)
        if _ANSWER_MARKER not in answered:
            raise LlinkError("this decoder's chat format leaves out what the decoder answers: choose another")
        eos = self.tokenizer.eos_token_id
        assert eos is not None, "a decoder's tokenizer names its end of sequence"
        suffix = answered.rpartition(_ANSWER_MARKER)[2]
        return int(next((i for i in self._ids_of_template(suffix) if i in special), eos))
