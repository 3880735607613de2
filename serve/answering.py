"""Chats and completions: the same work, two shapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llink_ray.decoding import Done, Event, Sampling
from serve import sse
from serve.checks import check_chat, check_completion
from serve.edge import Edge, Visit, require_good
from serve.errors import ApiError
from serve.handlers import translated
from serve.leaving import EventStream, Gone, unless_gone
from serve.protocol import ChatRequest, CompletionRequest, Sampled
from serve.replies import ChatCompletion, Completion
from serve.service import Plan, Told
from serve.shapes import ChatShape, Shape, TextShape

_GRACE = 1.0
"""Seconds behind the deadline in which the decoder may say by itself that it has passed."""
_HUNG_UP = 499
"""For the log alone, as other servers write it: nobody is there to read it."""
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
            reply = await unless_gone(request, _begun(visit, asked, said, alternatives, shape))
    except BaseException as error:
        _note(visit, error)
        visit.leave()
        if isinstance(error, TimeoutError):
            raise ApiError.deadline(edge.limits.seconds) from None
        if isinstance(error, Gone):
            return Response(status_code=_HUNG_UP)
        raise
    if not isinstance(reply, EventStream):
        visit.leave()
    return reply


async def _begun(
    visit: Visit,
    asked: ChatRequest | CompletionRequest,
    said: Sequence[tuple[str, str]],
    alternatives: int | None,
    shape: Shape,
) -> Response:
    """The whole answer, or a stream that has its first event: what is refused has a status of its own."""
    service, seconds = visit.edge.service, visit.edge.limits.seconds
    plan = await _planned(visit, asked, said, alternatives)
    if asked.stream:
        events = service.stream(plan)
        first = await anext(events)
        return EventStream(_told(visit, plan, first, events, shape, asked.wants_usage), visit.hang_up)
    answer, beside = await service.answer(plan)
    require_good(answer.done, seconds)
    visit.answered(plan, answer.done.usage, beside.grounding)
    return JSONResponse(shape.whole(answer, beside).model_dump())


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
    events: AsyncGenerator[Event | Told, None],
    shape: Shape,
    with_usage: bool,
) -> AsyncGenerator[bytes, None]:
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
            item = await _next(visit, events)
        assert isinstance(item, Told) and done is not None, "a stream ends with both"
        visit.answered(plan, done.usage, item.grounding)
        for last in shape.end(done, item, with_usage):
            yield sse.event(last)
        yield sse.DONE
    except Exception as error:
        _note(visit, error)
        yield sse.failure(translated(error))
    finally:
        await events.aclose()


async def _next(visit: Visit, events: AsyncGenerator[Event | Told, None]) -> Event | Told | None:
    """What comes next; the decoder keeps the deadline by itself, unless it is lost."""
    try:
        async with asyncio.timeout(visit.seconds_left + _GRACE):
            return await anext(events, None)
    except TimeoutError:
        raise ApiError.deadline(visit.edge.limits.seconds) from None


def _note(visit: Visit, error: BaseException) -> None:
    """What it came to, for the metrics."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit | Gone):
        visit.outcome = "cancelled"
    elif isinstance(error, TimeoutError):
        visit.outcome = "504"
    elif isinstance(error, Exception):
        visit.outcome = str(translated(error, quietly=True).status)
