"""What is answered, in OpenAI's shape; ``llink`` holds what is ours."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Finish = Literal["stop", "length"]
LOWEST = -9_999.0
"""Stands for minus infinity, which JSON lacks; OpenAI's own figure."""


class Reply(BaseModel):
    """An answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Usage(Reply):
    """Tokens that were really fed and made."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt: int, completion: int) -> Usage:
        """From the two that are counted."""
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class LanguageSpan(Reply):
    """What a stretch of a message was taken for."""

    message: int
    """Place of the message in the conversation."""
    start: int
    """In characters."""
    end: int
    language: str | None
    """Code; null for none that is known."""
    name: str | None = None
    own_name: str | None = None
    direction: str = "ltr"
    confidence: float
    """0 to 1."""
    served: bool = False
    """Whether a bundle reads it."""
    sentences: int = 0
    slots: int = 0
    numerals: list[str] = Field(default_factory=list)
    """What stands beside the slots in ASCII digits."""
    cut_characters: int = 0
    """At the ends of its sentences, which the encoder did not read any more."""
    outside: int | None = 0
    """Sentences unlike all that the bundle was trained on, of which answers may be made up; null where it
    cannot tell."""


class BundleVersion(Reply):
    """Which bundle answered."""

    version: str
    digest: str


class Grounding(Reply):
    """How much the answer depends on the foreign text, which says nothing of whether it is right."""

    nats: float
    """A token of the answer is likelier by so much with its slots than without."""
    sentence: str


class Notice(Reply):
    """Something that was done otherwise than it was asked for."""

    code: str
    """For programs."""
    message: str


class LlinkMetadata(Reply):
    """How the request was understood."""

    spans: list[LanguageSpan] = Field(default_factory=list)
    sentences: int = 0
    """Foreign sentences that slots stand for."""
    slots: int = 0
    """Rows of slots, marks included."""
    slot_cache_hits: int = 0
    """Sentences whose slots were known already."""
    prompt_tokens: int = 0
    """As they were fed."""
    prompt_tokens_raw: int = 0
    """What the text itself would have cost."""
    bundles: dict[str, BundleVersion] = Field(default_factory=dict)
    """By language."""
    adapter: str | None = None
    """Language whose adapter the decoder spoke with."""
    grounding: Grounding | None = None
    instruction_added: bool = False
    notices: list[Notice] = Field(default_factory=list)
    """What was done otherwise than it was asked for."""


class TopLogprob(Reply):
    """A token that could have stood there."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """A token of the answer."""

    top_logprobs: list[TopLogprob] = Field(default_factory=list)


class Logprobs(Reply):
    """Of every token of the answer."""

    content: list[TokenLogprob]
    refusal: None = None


class Said(Reply):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(Reply):
    """The one answer."""

    index: int = 0
    message: Said
    logprobs: Logprobs | None = None
    finish_reason: Finish


class Named(Reply):
    """What all answers begin with."""

    id: str
    created: int
    """Unix time."""
    model: str
    system_fingerprint: str | None = None


class ChatCompletion(Named):
    """Of ``POST /v1/chat/completions``."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: list[Choice]
    usage: Usage
    llink: LlinkMetadata | None = None


class Delta(Reply):
    """What is new."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Reply):
    """The one answer, in part."""

    index: int = 0
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: Finish | None = None


class ChatCompletionChunk(Named):
    """One event of a streamed chat."""

    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    choices: list[ChunkChoice]
    usage: Usage | None = None
    llink: LlinkMetadata | None = None


class TextLogprobs(Reply):
    """Log-probabilities of a completion: four lists side by side."""

    tokens: list[str]
    token_logprobs: list[float | None]
    """Null for the first token of a prompt that is given back, and for those that slots stand for."""
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class TextChoice(Reply):
    """The one answer, whole or in part."""

    index: int = 0
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: Finish | None = None
    llink: LlinkMetadata | None = None
    """How its prompt was understood, where there are several."""


class Completion(Named):
    """Of ``POST /v1/completions``; a stream's events have the same shape."""

    object: Literal["text_completion"] = "text_completion"
    choices: list[TextChoice]
    usage: Usage | None = None
    llink: LlinkMetadata | None = None


class ModelCard(Reply):
    """Something that answers."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str | None = None
    parent: str | None = None
    """The base that a bundle sits on."""
    llink: dict[str, Any] | None = None
    """Language, version and metrics of a bundle."""


class ModelList(Reply):
    """Of ``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Vector(Reply):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(Reply):
    """Tokens read, as the decoder would count them; what was cut is not among them."""

    prompt_tokens: int
    total_tokens: int


class Truncation(Reply):
    """A text of which only the beginning was read."""

    index: int
    characters: int
    characters_read: int


class EmbeddingMetadata(Reply):
    """What these vectors are."""

    space: str
    unit_length: bool
    """Whether all are of length 1: then a dot product is a cosine."""
    cut: list[Truncation] = Field(default_factory=list)
    notices: list[Notice] = Field(default_factory=list)


class EmbeddingsResponse(Reply):
    """Of ``POST /v1/embeddings``."""

    object: Literal["list"] = "list"
    data: list[Vector]
    model: str
    usage: EmbeddingsUsage
    llink: EmbeddingMetadata

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[float]],
        model: str,
        tokens: int,
        encoding: str | None,
        extension: EmbeddingMetadata,
    ) -> EmbeddingsResponse:
        """Rows in order, as numbers or as base64."""
        pack = packed if encoding == "base64" else list
        data = [Vector(index=i, embedding=pack(row)) for i, row in enumerate(rows)]
        usage = EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens)
        return cls(data=data, model=model, usage=usage, llink=extension)


def packed(row: Sequence[float]) -> str:
    """Little-endian single floats, in base64."""
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode("ascii")


def finite(logprob: float) -> float:
    """A log-probability that JSON can write."""
    return logprob if math.isfinite(logprob) else LOWEST


class DetectionResult(Reply):
    """One text's stretches by language; ``message`` of a span is the text's place."""

    index: int
    spans: list[LanguageSpan]


class DetectResponse(Reply):
    """Of ``POST /v1/detect``."""

    object: Literal["list"] = "list"
    data: list[DetectionResult]


class TokenizeResponse(Reply):
    """Of ``POST /v1/tokenize``."""

    model: str
    prompt_tokens: int
    """As they would be fed."""
    prompt_tokens_raw: int
    """With the text itself instead of its slots."""
    llink: LlinkMetadata


class ErrorBody(Reply):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Reply):
    """Of everything that is refused or fails."""

    error: ErrorBody


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": told}
    for status, told in {
        400: "Wrong use: the field is in `param`.",
        401: "No key, an unknown one, or one that has expired.",
        403: "Not with this key.",
        404: "No such model or path.",
        408: "The body did not come in time.",
        413: "The body is too large.",
        415: "The body is packed in a way that is not read here.",
        422: "Text in a language that nobody taught.",
        429: "Too much at once or a minute: see `retry-after`.",
        500: "Our fault.",
        503: "Too much is asked of all of it: see `retry-after`.",
        504: "It took too long.",
    }.items()
}
"""For the document: ``FastAPI(responses=ERRORS)``; its own shape of errors never leaves."""
