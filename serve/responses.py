"""Response bodies in the shape of OpenAI's API; ``llink`` holds this service's own fields."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FinishReason = Literal["stop", "length"]


class ResponseModel(BaseModel):
    """Part of a response."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Usage(ResponseModel):
    """Tokens that were fed and generated."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def build(cls, prompt: int, completion: int) -> Usage:
        """With their sum."""
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


# The object llink ----------------------------------------------------------------------------------------


class LanguageSpan(ResponseModel):
    """A stretch of text in one language."""

    message: int
    """Index of the message or text."""
    start: int
    """In characters."""
    end: int
    language: str | None
    """Code; null where it is not known."""
    name: str | None = None
    own_name: str | None = None
    direction: str = "ltr"
    confidence: float
    """0 to 1."""
    served: bool = False
    """Whether a bundle reads it."""
    sentences: int = 0
    slots: int = 0
    numerals: list[str] = []
    """Numbers that stand beside the slots in ASCII digits."""
    cut_characters: int = 0
    """At the ends of its sentences, which the encoder did not read."""
    outside: int | None = 0
    """Sentences unlike all that the bundle was trained on, of which answers may be made up; null where it
    cannot tell."""


class BundleVersion(ResponseModel):
    """A bundle that took part."""

    version: str
    digest: str


class Grounding(ResponseModel):
    """How much the answer depends on the foreign text, which says nothing of whether it is right."""

    nats: float
    """Mean log-probability of the answer's tokens with its slots less that without."""
    sentence: str


class Notice(ResponseModel):
    """Something that was done otherwise than it was asked for."""

    code: str
    """For programs."""
    message: str


class LlinkMetadata(ResponseModel):
    """How the request was understood."""

    spans: list[LanguageSpan] = []
    sentences: int = 0
    """Foreign sentences that were read as slots."""
    slots: int = 0
    """Rows of slots, with their marks."""
    slot_cache_hits: int = 0
    """Sentences whose slots were cached."""
    prompt_tokens: int = 0
    """As they were fed."""
    prompt_tokens_raw: int = 0
    """With the text itself instead of its slots."""
    bundles: dict[str, BundleVersion] = {}
    """By language."""
    adapter: str | None = None
    """Language of the decoder's adapter."""
    grounding: Grounding | None = None
    instruction_added: bool = False
    notices: list[Notice] = []


# Chats and completions -----------------------------------------------------------------------------------


class TopLogprob(ResponseModel):
    """A likely token."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """A token of the answer."""

    top_logprobs: list[TopLogprob] = []


class ChatLogprobs(ResponseModel):
    """Log-probabilities of a chat."""

    content: list[TokenLogprob]
    refusal: None = None


class AssistantMessage(ResponseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(ResponseModel):
    """The one choice of a chat."""

    index: int = 0
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason


class _Identified(ResponseModel):
    id: str
    created: int
    """Unix time."""
    model: str
    system_fingerprint: str | None = None


class ChatCompletion(_Identified):
    """Of ``POST /v1/chat/completions``."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]
    usage: Usage
    llink: LlinkMetadata | None = None


class Delta(ResponseModel):
    """New text."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(ResponseModel):
    """The one choice, in part."""

    index: int = 0
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(_Identified):
    """One event of a streamed chat."""

    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    choices: list[ChunkChoice]
    usage: Usage | None = None
    llink: LlinkMetadata | None = None


class CompletionLogprobs(ResponseModel):
    """Log-probabilities of a completion: four parallel lists."""

    tokens: list[str]
    token_logprobs: list[float | None]
    """Null for the first token of an echoed prompt, and for those that were read as slots."""
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(ResponseModel):
    """A choice, whole or in part."""

    index: int = 0
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None
    llink: LlinkMetadata | None = None
    """Of this choice, where there are several."""


class Completion(_Identified):
    """Of ``POST /v1/completions``; a stream's events have the same shape."""

    object: Literal["text_completion"] = "text_completion"
    choices: list[CompletionChoice]
    usage: Usage | None = None
    llink: LlinkMetadata | None = None


# Models, embeddings, languages, tokens -------------------------------------------------------------------


class ModelCard(ResponseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str | None = None
    parent: str | None = None
    """Base model of a bundle."""
    llink: dict[str, Any] | None = None
    """Language, version and metrics of a bundle."""


class ModelList(ResponseModel):
    """Of ``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Embedding(ResponseModel):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(ResponseModel):
    """Tokens that were read, by the decoder's tokenizer; truncated text is not counted."""

    prompt_tokens: int
    total_tokens: int


class Truncation(ResponseModel):
    """A text of which only the beginning was read."""

    index: int
    characters: int
    characters_read: int


class EmbeddingMetadata(ResponseModel):
    """What these vectors are."""

    space: str
    unit_length: bool
    """Whether all are of length 1, so that a dot product is a cosine."""
    cut: list[Truncation] = []
    notices: list[Notice] = []


class EmbeddingsResponse(ResponseModel):
    """Of ``POST /v1/embeddings``."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
    llink: EmbeddingMetadata

    @classmethod
    def build(
        cls,
        vectors: Sequence[list[float]],
        model: str,
        tokens: int,
        as_base64: bool,
        metadata: EmbeddingMetadata,
    ) -> EmbeddingsResponse:
        """Vectors in order, as numbers or as base64 of little-endian float32."""
        data = [
            Embedding(index=i, embedding=_to_base64(vector) if as_base64 else vector)
            for i, vector in enumerate(vectors)
        ]
        usage = EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens)
        return cls(data=data, model=model, usage=usage, llink=metadata)


def _to_base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


class DetectionResult(ResponseModel):
    """Languages of one text; ``message`` of a span is the text's index."""

    index: int
    spans: list[LanguageSpan]


class DetectResponse(ResponseModel):
    """Of ``POST /v1/detect``."""

    object: Literal["list"] = "list"
    data: list[DetectionResult]


class TokenizeResponse(ResponseModel):
    """Of ``POST /v1/tokenize``."""

    model: str
    prompt_tokens: int
    """As they would be fed."""
    prompt_tokens_raw: int
    """With the text itself instead of its slots."""
    llink: LlinkMetadata


# Errors --------------------------------------------------------------------------------------------------


class ErrorBody(ResponseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(ResponseModel):
    """Of every request that is refused or fails."""

    error: ErrorBody


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in {
        400: "Invalid request: the field is in `param`.",
        401: "No key, an unknown one, or one that has expired.",
        403: "Not with this key.",
        404: "No such model or path.",
        408: "The body did not come in time.",
        413: "The body is too large.",
        415: "The body's content encoding is not gzip.",
        422: "Text in a language that is not served.",
        429: "A limit of the key, or a full queue: see `retry-after`.",
        500: "Internal error.",
        503: "The service is at its limit or a part of it unavailable: see `retry-after`.",
        504: "The deadline.",
    }.items()
}
"""``FastAPI(responses=ERRORS)``: FastAPI's own shape of errors is never sent."""
