"""A request as it was understood, and what is reported about it beside the answer: the object ``llink``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llink_ray.prompts.conversation import Conversation
from llink_ray.prompts.conversation import LanguageSpan as ParsedSpan
from llink_ray.text.languages import language_of
from serve.catalog import ServedLanguage
from serve.echo_prompt import EchoPrompt
from serve.grounding import describe_grounding, describe_outside
from serve.responses import BundleVersion, Grounding, LanguageSpan, LlinkMetadata, Notice
from serve.rpc_types import GenerationRequest

SYSTEM_LEFT_OUT = Notice(
    code="system_left_out",
    message="system texts were not shown to the decoder, since no bundle is trained with them and answers "
    "get worse: say what you want in the message itself",
)


@dataclass(frozen=True)
class PreparedRequest:
    """A request with its languages, bundles and prompt."""

    model: str
    """As ``ModelSelection.model``."""
    conversation: Conversation
    generation: GenerationRequest
    """``slots`` are filled in by ``Service.encode``."""
    bundles: dict[str, ServedLanguage]
    """Bundles whose slots or adapter are used, by code."""
    raw_tokens: int
    """Prompt tokens with the text itself instead of its slots."""
    notices: tuple[Notice, ...] = ()
    sentence_order: tuple[int, ...] = ()
    """Sentences of the conversation in prompt order: chat formats may move a message."""
    echo: EchoPrompt | None = None
    """Tokens of a prompt that is returned with the answer."""
    echo_max_tokens: int = 0
    """Tokens that may follow it."""


@dataclass(frozen=True)
class ResponseMetadata:
    """What is reported about an answer."""

    request: PreparedRequest
    cache_hits: int
    grounding: float | None = None
    """Nats a token."""
    characters_read: tuple[int, ...] | None = None
    """Of each sentence."""
    out_of_domain: tuple[bool | None, ...] = ()
    """Of each sentence: unlike its bundle's training text; None where the bundle cannot tell."""

    def extension(self) -> LlinkMetadata:
        """The object ``llink`` of the response."""
        request, conversation = self.request, self.request.conversation
        cut, outside = self._cut_characters(), self._outside_counts()
        notices = [*request.notices, *([text_cut(cut, "stretches")] if any(cut) else ())]
        if far := sum(filter(None, outside)):
            message = describe_outside(far, len(conversation.sentences))
            notices.append(Notice(code="outside_training", message=message))
        grounding = None
        if self.grounding is not None:
            has_numerals = any(span.numerals for span in conversation.spans)
            sentence = describe_grounding(self.grounding, has_numerals, any(outside))
            grounding = Grounding(nats=round(self.grounding, 4), sentence=sentence)
        return LlinkMetadata(
            spans=[
                _span(span, request.bundles, cut_characters, count)
                for span, cut_characters, count in zip(conversation.spans, cut, outside, strict=True)
            ],
            sentences=len(conversation.sentences),
            slots=0 if request.generation.slots is None else len(request.generation.slots),
            slot_cache_hits=self.cache_hits,
            prompt_tokens=len(request.generation.ids),
            prompt_tokens_raw=request.raw_tokens,
            adapter=conversation.adapter,
            bundles={
                code: BundleVersion(version=served.ref.version, digest=served.ref.digest)
                for code, served in request.bundles.items()
            },
            grounding=grounding,
            instruction_added=conversation.instruction_added,
            notices=notices,
        )

    def _outside_counts(self) -> list[int | None]:
        """Sentences of each span that are unlike the training text; None where that is not known."""
        flags = iter(self.out_of_domain)
        by_span = [list(islice(flags, span.slot_groups)) for span in self.request.conversation.spans]
        return [None if None in span else sum(map(bool, span)) for span in by_span]

    def _cut_characters(self) -> list[int]:
        """Characters of each span that the encoder does not read."""
        conversation = self.request.conversation
        if self.characters_read is None:
            return [0] * len(conversation.spans)
        cut = (
            max(0, len(sentence.text.rstrip()) - read)
            for sentence, read in zip(conversation.sentences, self.characters_read, strict=True)
        )
        return [sum(islice(cut, span.slot_groups)) for span in conversation.spans]


def text_cut(cut_characters: Sequence[int], what: str) -> Notice:
    """The notice that texts were truncated."""
    return Notice(
        code="text_cut",
        message=f"the last {sum(cut_characters)} characters of {sum(map(bool, cut_characters))} {what} were "
        "not read, being more than is read at once: send shorter texts",
    )


def language_fields(code: str | None) -> dict[str, Any]:
    """Fields of a span that follow from its language."""
    language = language_of(code)
    return {
        "language": code,
        "name": language.name if language else None,
        "own_name": language.own_name if language else None,
        "direction": language.direction if language else "ltr",
    }


def _span(
    span: ParsedSpan, bundles: dict[str, ServedLanguage], cut_characters: int, outside: int | None
) -> LanguageSpan:
    return LanguageSpan(
        **language_fields(span.language),
        message=span.message,
        start=span.start,
        end=span.end,
        confidence=span.confidence,
        served=span.language in bundles,
        sentences=len(span.sentences),
        slots=sum(sentence.slot_count for sentence in span.sentences),
        numerals=list(span.numerals),
        cut_characters=cut_characters,
        outside=outside,
    )
