"""Embeddings, languages, and what a message costs."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import APIRouter
from starlette.requests import Request

from llink_ray.decoding import Sampling
from llink_ray.detection import detect, spans
from serve.checks import check_batch, check_tokenize
from serve.edge import Edge
from serve.protocol import DetectRequest, EmbeddingsRequest, TokenizeRequest
from serve.replies import Detection, Detections, Embeddings, Extension, SpanReply, Tokenized
from serve.service import Told, named


def router(edge: Edge) -> APIRouter:
    """The three endpoints."""
    routes = APIRouter(prefix="/v1", tags=["texts"])
    service = edge.service

    @routes.post("/embeddings")
    async def embeddings(asked: EmbeddingsRequest, request: Request) -> Embeddings:
        """Vectors of texts in any served language and in English, which compare with one another."""
        check_batch(asked, edge.limits)
        async with edge.visit(request) as visit:
            visit.labels = "many", (await service.chosen(asked.model)).model
            rows = await service.embed(asked.texts, asked.model, asked.space)
            visit.outcome = "ok"
        tokens = sum(len(service.prompt.ids(text)) for text in asked.texts)
        return Embeddings.of(rows, asked.model, tokens, asked.encoding_format)

    @routes.post("/detect")
    async def languages(asked: DetectRequest, request: Request) -> Detections:
        """In which language each stretch of a text is."""
        check_batch(asked, edge.limits)
        async with edge.visit(request) as visit:
            visit.labels = "many", "detect"
            found = [
                Detection(index=index, spans=_spans(index, text, service.catalog.taught))
                for index, text in enumerate(asked.texts)
            ]
            visit.outcome = "ok"
        return Detections(data=found)

    @routes.post("/tokenize")
    async def tokenize(asked: TokenizeRequest, request: Request) -> Tokenized:
        """What a message costs as text and with slots."""
        check_tokenize(asked, edge.limits)
        async with edge.visit(request) as visit:
            instruction = service.settings.default_instruction
            plan = await service.plan(asked.said, asked.model, Sampling(), instruction=instruction)
            visit.understood(plan)
            visit.outcome = "ok"
        extension = Extension.model_validate(Told(plan, 0).extension())
        return Tokenized(
            model=asked.model,
            prompt_tokens=extension.prompt_tokens,
            prompt_tokens_raw=extension.prompt_tokens_raw,
            llink=extension,
        )

    return routes


def _spans(index: int, text: str, served: Collection[str]) -> list[SpanReply]:
    return [
        SpanReply(
            **named(span.code),
            message=index,
            start=span.start,
            end=span.end,
            confidence=detect(text[span.start : span.end]).confidence,
            served=span.code in served,
        )
        for span in spans(text)
    ]
