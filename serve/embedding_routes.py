"""``/v1/embeddings``, ``/v1/detect`` and ``/v1/tokenize``."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import APIRouter
from starlette.requests import Request

from llink_ray.engine import SamplingParams
from llink_ray.errors import TooLong
from llink_ray.prompts.conversation import LanguageNotServed
from llink_ray.text.detection import Span, detect, spans
from llink_ray.text.languages import DECODER_LANGUAGE, find
from llink_ray.text.zawgyi import NotUnicode, convert_zawgyi
from serve.embedding import embed
from serve.errors import ApiError
from serve.exception_handlers import with_param
from serve.metadata import ResponseMetadata, language_fields
from serve.protocol import DetectRequest, EmbeddingsRequest, TokenizeRequest
from serve.request_guard import RequestGuard
from serve.responses import (
    DetectionResult,
    DetectResponse,
    EmbeddingMetadata,
    EmbeddingsResponse,
    LanguageSpan,
    TokenizeResponse,
    Truncation,
)
from serve.validation import check_text_batch, check_tokenize


def router(guard: RequestGuard) -> APIRouter:
    """The three endpoints."""
    routes = APIRouter(prefix="/v1", tags=["texts"])
    service = guard.service

    @routes.post("/embeddings")
    async def embeddings(body: EmbeddingsRequest, request: Request) -> EmbeddingsResponse:
        """Vectors of texts in any served language and in English, which compare with one another."""
        check_text_batch(body, guard.limits)
        options = body.options
        async with guard.admitted(request) as context:
            context.labels = "many", (await service.select_model(body.model)).model
            try:
                texts = body.texts
                if options.convert_zawgyi:
                    texts = list(map(convert_zawgyi, texts))
                result = await embed(service, texts, body.model, options.space, options.normalize)
            except (LanguageNotServed, NotUnicode) as error:
                single = isinstance(body.input, str)
                raise with_param(error, lambda i: "input" if single else f"input[{i}]") from None
            context.outcome = "ok"
        size = result.vectors.shape[1]
        if body.dimensions not in (None, size):
            raise ApiError(
                400,
                f"dimensions is {body.dimensions}, and these vectors have {size} numbers, which cannot be "
                f"fewer or more: leave it out, or give {size}",
                param="dimensions",
            )
        metadata = EmbeddingMetadata(
            space=options.space,
            unit_length=options.normalize,
            cut=[
                Truncation(index=i, characters=len(body.texts[i]), characters_read=read)
                for i, (text, read) in enumerate(zip(result.texts, result.characters_read, strict=True))
                if read < len(text.rstrip())
            ],
            notices=result.notices,
        )
        return EmbeddingsResponse.build(
            result.vectors.tolist(), body.model, result.tokens, body.encoding_format == "base64", metadata
        )

    @routes.post("/detect")
    async def languages(body: DetectRequest, request: Request) -> DetectResponse:
        """The language of each span of a text."""
        check_text_batch(body, guard.limits)
        async with guard.admitted(request) as context:
            context.labels = "many", "detect"
            served = service.catalog.languages
            results = [
                DetectionResult(index=index, spans=_spans(index, text, served))
                for index, text in enumerate(body.texts)
            ]
            context.outcome = "ok"
        return DetectResponse(data=results)

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeRequest, request: Request) -> TokenizeResponse:
        """Prompt tokens of a text or of messages, with slots and without."""
        check_tokenize(body, guard.limits)
        async with guard.admitted(request) as context:
            instruction = service.settings.default_instruction
            try:
                prepared = await service.prepare(
                    body.turns, body.model, SamplingParams(), instruction=instruction
                )
            except (LanguageNotServed, TooLong, NotUnicode) as error:
                is_text = body.text is not None
                raise with_param(error, lambda i: "text" if is_text else f"messages[{i}].content") from None
            context.set_request(prepared)
            context.outcome = "ok"
        metadata = ResponseMetadata(prepared, 0).extension()
        return TokenizeResponse(
            model=body.model,
            prompt_tokens=metadata.prompt_tokens,
            prompt_tokens_raw=metadata.prompt_tokens_raw,
            llink=metadata,
        )

    return routes


def _spans(index: int, text: str, served: Collection[str]) -> list[LanguageSpan]:
    return [
        LanguageSpan(
            **(language_fields(span.code) | _other_name(span)),
            message=index,
            start=span.start,
            end=span.end,
            confidence=detect(text[span.start : span.end]).confidence,
            served=span.code in served,
        )
        for span in spans(text)
    ]


def _other_name(span: Span) -> dict[str, str | None]:
    """The name where the language table has none for it."""
    if span.code is None:
        return {"name": span.other}
    language = find(span.code) if span.code != DECODER_LANGUAGE.code else DECODER_LANGUAGE
    return {"name": f"{language.name} in Zawgyi"} if span.script == language.font_encoding else {}
