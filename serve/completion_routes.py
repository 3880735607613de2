"""Chats and completions: the same work, two shapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llink_ray.engine import FinishInfo, SamplingParams, StreamEvent
from llink_ray.errors import TooLong
from llink_ray.prompts.conversation import LanguageNotServed
from llink_ray.text.zawgyi import NotUnicode, converted
from serve import sse
from serve.disconnect import ClientDisconnected, EventStream, cancel_on_disconnect
from serve.exception_handlers import placed, translated
from serve.formatters import ChatFormatter, CompletionFormatter, ResponseFormatter
from serve.merging import gather_or_cancel, merge_streams
from serve.protocol import ChatRequest, CompletionRequest
from serve.request_guard import RequestContext, RequestGuard, require_good
from serve.responses import ChatCompletion, Completion
from serve.service import Notice, PreparedRequest, ResponseMetadata
from serve.validation import check_chat, check_completion

_GRACE = 1.0
"""Seconds behind the deadline in which the decoder may say by itself that it has passed."""
CUT = "x-llink-max-tokens"
"""Header of an answer for which more tokens were asked than it may have: how many that are."""
_HUNG_UP = 499
"""For the log alone, as other servers write it: nobody is there to read it."""
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


Said = Sequence[tuple[str, str]]
"""(role, text) in order."""


@dataclass(frozen=True)
class _Wanted:
    """What an endpoint asks for."""

    asked: ChatRequest | CompletionRequest
    said: Sequence[Said]
    """Conversations, each of which gets a choice of its own."""
    alternatives: int | None
    shape: ResponseFormatter
    where: Callable[[int, int], str]
    """What the i-th conversation's n-th message is called in the request."""
    echo: bool = False
    """Whether the prompts are read as they stand and given back."""


def router(edge: RequestGuard) -> APIRouter:
    """The two endpoints."""
    routes = APIRouter(prefix="/v1", tags=["answers"])

    @routes.post("/chat/completions", response_model=ChatCompletion, responses=_STREAM)
    async def chat(asked: ChatRequest, request: Request) -> Response:
        """Answer a conversation; foreign text in it becomes slots of its own language."""
        check_chat(asked, edge.limits)
        shape = ChatFormatter(asked.model, bool(asked.logprobs))
        wanted = _Wanted(
            asked, [asked.said], asked.alternatives, shape, lambda _, n: f"messages[{n}].content"
        )
        return await _answer(edge, request, wanted)

    @routes.post("/completions", response_model=Completion, responses=_STREAM)
    async def complete(asked: CompletionRequest, request: Request) -> Response:
        """Answer a message, or each of several."""
        check_completion(asked, edge.limits)
        shape = CompletionFormatter(asked.model, asked.logprobs is not None)
        said = [[("user", text)] for text in asked.texts]
        one = isinstance(asked.prompt, str)
        wanted = _Wanted(
            asked,
            said,
            asked.logprobs,
            shape,
            lambda i, _: "prompt" if one else f"prompt[{i}]",
            bool(asked.echo),
        )
        return await _answer(edge, request, wanted)

    return routes


async def _answer(edge: RequestGuard, request: Request, wanted: _Wanted) -> Response:
    visit = edge.admit(request)
    try:
        async with visit.within(visit.seconds_left):
            reply = await cancel_on_disconnect(request, _begun(visit, wanted))
    except BaseException as error:
        _note(visit, error)
        visit.leave()
        if isinstance(error, ClientDisconnected):
            return Response(status_code=_HUNG_UP)
        raise
    if not isinstance(reply, EventStream):
        visit.leave()
    return reply


async def _begun(visit: RequestContext, wanted: _Wanted) -> Response:
    """The whole answer, or a stream that has its first event: what is refused has a status of its own."""
    service, seconds = visit.edge.service, visit.edge.limits.seconds
    plans = [await _planned(visit, wanted, i) for i in range(len(wanted.said))]
    most = visit.edge.limits.max_tokens
    headers = {CUT: str(most)} if (wanted.asked.most_tokens or 0) > most else {}
    if wanted.asked.stream:
        events = merge_streams([service.stream(plan) for plan in plans])
        first = await anext(events)
        return EventStream(_told(visit, plans, first, events, wanted), visit.hang_up, headers)
    found = await gather_or_cancel([service.answer(plan) for plan in plans])
    for plan, (answer, beside) in zip(plans, found, strict=True):
        require_good(answer.finish, seconds)
        visit.answered(plan, answer.finish.usage, beside.grounding)
    return JSONResponse(wanted.shape.whole(found).model_dump(), headers=headers)


async def _planned(visit: RequestContext, wanted: _Wanted, place: int) -> PreparedRequest:
    edge, asked = visit.edge, wanted.asked
    instruction = edge.service.settings.default_instruction
    if asked.llink is not None and asked.llink.default_instruction is not None:
        instruction = asked.llink.default_instruction or None
    said = wanted.said[place]
    if asked.llink is not None and asked.llink.convert_zawgyi:
        said = [(role, converted(text)) for role, text in said]
    most = edge.limits.max_tokens if asked.most_tokens is None else asked.most_tokens
    sampling = SamplingParams(
        max_tokens=max(1, min(most, edge.limits.max_tokens)),
        temperature=asked.temperature or 0.0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        seed=asked.seed,
        stop=asked.stops,
        logprobs=wanted.alternatives,
        strip=not wanted.echo,
    )
    try:
        plan = await edge.service.plan(
            said,
            asked.model,
            sampling,
            seconds=visit.seconds_left,
            grounding=bool(asked.llink and asked.llink.grounding),
            instruction=instruction,
            echo=min(most, edge.limits.max_tokens) if wanted.echo else None,
        )
    except (LanguageNotServed, TooLong, NotUnicode) as error:
        raise placed(error, lambda number: wanted.where(place, number)) from None
    visit.understood(plan)
    if most <= edge.limits.max_tokens:
        return plan
    cut = Notice(
        "max_tokens_cut", f"more tokens were asked for than the {edge.limits.max_tokens} of a longest answer"
    )
    return replace(plan, notices=(*plan.notices, cut))


async def _told(
    visit: RequestContext,
    plans: Sequence[PreparedRequest],
    first: tuple[int, StreamEvent | ResponseMetadata],
    events: AsyncGenerator[tuple[int, StreamEvent | ResponseMetadata], None],
    wanted: _Wanted,
) -> AsyncGenerator[bytes, None]:
    """The stream as it is sent. An error in its middle is an event, and nothing comes after it."""
    shape, done, told = wanted.shape, dict[int, FinishInfo](), dict[int, ResponseMetadata]()
    try:
        if (opening := shape.begin()) is not None:
            yield sse.event(opening)
        item: tuple[int, StreamEvent | ResponseMetadata] | None = first
        while item is not None:
            place, event = item
            if isinstance(event, ResponseMetadata):
                told[place] = event
                visit.answered(plans[place], done[place].usage, event.grounding)
                yield sse.event(shape.end(done[place], event, place))
            else:
                if (part := shape.part(event, place)) is not None:
                    visit.first_text()
                    yield sse.event(part)
                if event.finish is not None:
                    require_good(event.finish, visit.edge.limits.seconds)
                    done[place] = event.finish
            item = await _next(visit, events)
        assert len(told) == len(plans), "a stream ends with all of them"
        if wanted.asked.wants_usage:
            yield sse.event(shape.usage([done[place] for place in sorted(done)]))
        yield sse.DONE
    except Exception as error:
        _note(visit, error)
        yield sse.failure(translated(error))
    finally:
        await events.aclose()


async def _next(
    visit: RequestContext, events: AsyncGenerator[tuple[int, StreamEvent | ResponseMetadata], None]
) -> tuple[int, StreamEvent | ResponseMetadata] | None:
    """What comes next; the decoder keeps the deadline by itself, unless it is lost."""
    async with visit.within(visit.seconds_left + _GRACE):
        return await anext(events, None)


def _note(visit: RequestContext, error: BaseException) -> None:
    """What it came to, for the metrics."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit | ClientDisconnected):
        visit.outcome = "cancelled"
    elif isinstance(error, Exception):
        visit.outcome = str(translated(error, quietly=True).status)
