"""Embeddings, languages, and what a message costs."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import APIRouter
from starlette.requests import Request

from llink_ray.engine import SamplingParams
from llink_ray.errors import TooLong
from llink_ray.prompts.conversation import LanguageNotServed
from llink_ray.text.detection import Span, detect, spans
from llink_ray.text.languages import DECODER_LANGUAGE, find
from llink_ray.text.zawgyi import NotUnicode, converted
from serve.embedding import embed
from serve.errors import ApiError
from serve.exception_handlers import placed
from serve.protocol import DetectRequest, EmbeddingsRequest, TokenizeRequest
from serve.request_guard import RequestGuard
from serve.responses import (
    DetectionResult,
    DetectResponse,
    EmbeddingMetadata,
    EmbeddingsResponse,
    LanguageSpan,
    LlinkMetadata,
    Notice,
    TokenizeResponse,
    Truncation,
)
from serve.service import ResponseMetadata, named
from serve.validation import check_batch, check_tokenize


def router(edge: RequestGuard) -> APIRouter:
    """The three endpoints."""
    routes = APIRouter(prefix="/v1", tags=["texts"])
    service = edge.service

    @routes.post("/embeddings")
    async def embeddings(asked: EmbeddingsRequest, request: Request) -> EmbeddingsResponse:
        """Vectors of texts in any served language and in English, which compare with one another."""
        check_batch(asked, edge.limits)
        async with edge.visit(request) as visit:
            visit.labels = "many", (await service.chosen(asked.model)).model
            ours = asked.extension
            try:
                texts = [converted(text) for text in asked.texts] if ours.convert_zawgyi else asked.texts
                found = await embed(service, texts, asked.model, ours.space, ours.normalize)
            except (LanguageNotServed, NotUnicode) as error:
                one = isinstance(asked.input, str)
                raise placed(error, lambda i: "input" if one else f"input[{i}]") from None
            visit.outcome = "ok"
        _check_size(asked.dimensions, found.rows.shape[1])
        extension = EmbeddingMetadata(
            space=ours.space,
            unit_length=ours.normalize,
            cut=[
                Truncation(index=i, characters=len(asked.texts[i]), characters_read=read)
                for i, (text, read) in enumerate(zip(found.texts, found.characters, strict=True))
                if read < len(text.rstrip())
            ],
            notices=[Notice(code=one.code, message=one.message) for one in found.notices],
        )
        return EmbeddingsResponse.of(
            found.rows.tolist(), asked.model, found.tokens, asked.encoding_format, extension
        )

    @routes.post("/detect")
    async def languages(asked: DetectRequest, request: Request) -> DetectResponse:
        """In which language each stretch of a text is."""
        check_batch(asked, edge.limits)
        async with edge.visit(request) as visit:
            visit.labels = "many", "detect"
            found = [
                DetectionResult(index=index, spans=_spans(index, text, service.catalog.taught))
                for index, text in enumerate(asked.texts)
            ]
            visit.outcome = "ok"
        return DetectResponse(data=found)

    @routes.post("/tokenize")
    async def tokenize(asked: TokenizeRequest, request: Request) -> TokenizeResponse:
        """What a message costs as text and with slots."""
        check_tokenize(asked, edge.limits)
        async with edge.visit(request) as visit:
            instruction = service.settings.default_instruction
            try:
                plan = await service.plan(asked.said, asked.model, SamplingParams(), instruction=instruction)
            except (LanguageNotServed, TooLong, NotUnicode) as error:
                text = asked.text is not None
                raise placed(error, lambda i: "text" if text else f"messages[{i}].content") from None
            visit.understood(plan)
            visit.outcome = "ok"
        extension = LlinkMetadata.model_validate(ResponseMetadata(plan, 0).extension())
        return TokenizeResponse(
            model=asked.model,
            prompt_tokens=extension.prompt_tokens,
            prompt_tokens_raw=extension.prompt_tokens_raw,
            llink=extension,
        )

    return routes


def _check_size(asked: int | None, own: int) -> None:
    if asked is not None and asked != own:
        raise ApiError.bad_request(
            f"dimensions is {asked}, and these vectors have {own} numbers, which cannot be fewer or more: "
            f"leave it out, or give {own}",
            "dimensions",
        )


def _otherwise(span: Span) -> dict[str, str | None]:
    """What a stretch is called where the table's name does not do."""
    if span.code is None:
        return {"name": span.other}
    language = find(span.code) if span.code != DECODER_LANGUAGE.code else DECODER_LANGUAGE
    return {"name": f"{language.name} in Zawgyi"} if span.script == language.font_encoding else {}


def _spans(index: int, text: str, served: Collection[str]) -> list[LanguageSpan]:
    return [
        LanguageSpan(
            **(named(span.code) | _otherwise(span)),
            message=index,
            start=span.start,
            end=span.end,
            confidence=detect(text[span.start : span.end]).confidence,
            served=span.code in served,
        )
        for span in spans(text)
    ]
