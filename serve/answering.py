"""Chats and completions: the same work, two shapes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from llink_ray.decoding import Done, Event, Sampling
from serve import sse
from serve.checks import check_chat, check_completion
from serve.edge import Edge, Visit, require_good
from serve.errors import ApiError
from serve.handlers import translated
from serve.protocol import ChatRequest, CompletionRequest, Sampled
from serve.replies import ChatCompletion, Completion
from serve.service import Plan, Told
from serve.shapes import ChatShape, Shape, TextShape

_log = logging.getLogger("llink_ray.serve")
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


def router(edge: Edge) -> APIRouter:
    """The two endpoints."""
    routes = APIRouter(prefix="/v1", tags=["answers"])

    @routes.post("/chat/completions", response_model=ChatCompletion, responses=_STREAM)
    async def chat(asked: ChatRequest, request: Request) -> Response:
        """Answer a conversation; foreign text in it becomes slots of its own language."""
        check_chat(asked, edge.limits)
        shape = ChatShape(asked.model, bool(asked.logprobs))
        return await _answer(edge, request, asked, asked.said, asked.alternatives, shape)

    @routes.post("/completions", response_model=Completion, responses=_STREAM)
    async def complete(asked: CompletionRequest, request: Request) -> Response:
        """Answer one message."""
        check_completion(asked, edge.limits)
        shape = TextShape(asked.model, asked.logprobs is not None)
        return await _answer(edge, request, asked, [("user", asked.text)], asked.logprobs, shape)

    return routes


async def _answer(
    edge: Edge,
    request: Request,
    asked: ChatRequest | CompletionRequest,
    said: Sequence[tuple[str, str]],
    alternatives: int | None,
    shape: Shape,
) -> Response:
    visit = edge.admit(request)
    try:
        async with asyncio.timeout(edge.limits.seconds):
            plan = await _planned(visit, asked, said, alternatives)
            if asked.stream:
                events = edge.service.stream(plan)
                first = await anext(events)  # what is refused is refused with a status of its own
                told = _told(visit, plan, first, events, shape, asked.wants_usage)
                return StreamingResponse(told, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
            answer, beside = await edge.service.answer(plan)
        require_good(answer.done, edge.limits.seconds)
        visit.answered(plan, answer.done.usage, beside.grounding)
        reply = JSONResponse(shape.whole(answer, beside).model_dump())
    except BaseException as error:
        _note(visit, error)
        visit.leave()
        if isinstance(error, TimeoutError):
            raise ApiError.deadline(edge.limits.seconds) from None
        raise
    visit.leave()
    return reply


async def _planned(
    visit: Visit, asked: Sampled, said: Sequence[tuple[str, str]], alternatives: int | None
) -> Plan:
    edge, ours = visit.edge, getattr(asked, "llink", None)
    instruction = edge.service.settings.default_instruction
    if ours is not None and ours.default_instruction is not None:
        instruction = ours.default_instruction or None
    most = edge.limits.max_tokens if asked.most_tokens is None else asked.most_tokens
    sampling = Sampling(
        max_tokens=most,
        temperature=asked.temperature or 0.0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        seed=asked.seed,
        stop=asked.stops,
        logprobs=alternatives,
    )
    plan = await edge.service.plan(
        said,
        asked.model,
        sampling,
        seconds=visit.seconds_left,
        grounding=bool(ours and ours.grounding),
        instruction=instruction,
    )
    visit.understood(plan)
    return plan


async def _told(
    visit: Visit,
    plan: Plan,
    first: Event | Told,
    events: AsyncIterator[Event | Told],
    shape: Shape,
    with_usage: bool,
) -> AsyncIterator[bytes]:
    """The stream as it is sent. An error in its middle is an event, and nothing comes after it."""
    done: Done | None = None
    try:
        if (opening := shape.begin()) is not None:
            yield sse.event(opening)
        item: Event | Told | None = first
        while isinstance(item, Event):
            if (part := shape.part(item)) is not None:
                visit.first_text()
                yield sse.event(part)
            done = item.done or done
            if item.done is not None:
                require_good(item.done, visit.edge.limits.seconds)
            item = await anext(events, None)
        assert isinstance(item, Told) and done is not None, "a stream ends with both"
        visit.answered(plan, done.usage, item.grounding)
        for last in shape.end(done, item, with_usage):
            yield sse.event(last)
        yield sse.DONE
    except Exception as error:
        _note(visit, error)
        yield sse.failure(translated(error))
    finally:
        if visit.outcome == "failed":
            visit.outcome = "cancelled"
        visit.leave()


def _note(visit: Visit, error: BaseException) -> None:
    """What it came to, for the metrics."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        visit.outcome = "cancelled"
    elif isinstance(error, TimeoutError):
        visit.outcome = "504"
    elif isinstance(error, Exception):
        visit.outcome = str(translated(error, quietly=True).status)
