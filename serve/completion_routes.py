"""``/v1/chat/completions`` and ``/v1/completions``."""

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
from llink_ray.text.zawgyi import NotUnicode, convert_zawgyi
from serve.exception_handlers import to_api_error, with_param
from serve.formatters import ChatFormatter, CompletionFormatter, ResponseFormatter
from serve.metadata import PreparedRequest, ResponseMetadata
from serve.protocol import ChatRequest, CompletionRequest
from serve.request_guard import RequestContext, RequestGuard, raise_if_failed
from serve.responses import ChatCompletion, Completion, Notice
from serve.streaming import (
    DONE_EVENT,
    ClientDisconnected,
    EventStreamResponse,
    cancel_on_disconnect,
    encode_event,
    error_event,
    gather_or_cancel,
    merge_streams,
)
from serve.validation import check_chat, check_completion

_DECODER_GRACE = 1.0
"""Seconds after the deadline in which the decoder may report it itself."""
MAX_TOKENS_HEADER = "x-llink-max-tokens"
"""Header of an answer that may have fewer tokens than were asked for: how many."""
_CLIENT_CLOSED_REQUEST = 499
"""nginx' status for the log; nobody reads the response."""
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
Item = tuple[int, StreamEvent | ResponseMetadata]
"""(index of the choice, its next event)."""


@dataclass(frozen=True)
class _Call:
    """A request to either endpoint."""

    body: ChatRequest | CompletionRequest
    conversations: Sequence[Sequence[tuple[str, str]]]
    """(role, text) of each message; each conversation gets a choice of its own."""
    logprobs: int | None
    formatter: ResponseFormatter
    field_name: Callable[[int, int], str]
    """The request's name for a message, by the indices of conversation and message."""
    echo: bool = False
    """Prompts are read as they stand and returned."""


def router(guard: RequestGuard) -> APIRouter:
    """The two endpoints."""
    routes = APIRouter(prefix="/v1", tags=["answers"])

    @routes.post("/chat/completions", response_model=ChatCompletion, responses=_STREAM)
    async def chat(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation; foreign text in it is read as slots of its language."""
        check_chat(body, guard.limits)
        formatter = ChatFormatter(body.model, bool(body.logprobs))
        call = _Call(
            body, [body.turns], body.logprob_count, formatter, lambda _, index: f"messages[{index}].content"
        )
        return await _respond(guard, request, call)

    @routes.post("/completions", response_model=Completion, responses=_STREAM)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        """Answer one prompt or several."""
        check_completion(body, guard.limits)
        single = isinstance(body.prompt, str)
        call = _Call(
            body,
            [[("user", text)] for text in body.texts],
            body.logprobs,
            CompletionFormatter(body.model, body.logprobs is not None),
            lambda index, _: "prompt" if single else f"prompt[{index}]",
            bool(body.echo),
        )
        return await _respond(guard, request, call)

    return routes


async def _respond(guard: RequestGuard, request: Request, call: _Call) -> Response:
    context = guard.admit(request)
    try:
        async with context.timeout():
            response = await cancel_on_disconnect(request, _start(context, call))
    except BaseException as error:
        _record_failure(context, error)
        context.close()
        if isinstance(error, ClientDisconnected):
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        raise
    if not isinstance(response, EventStreamResponse):
        context.close()
    return response


async def _start(context: RequestContext, call: _Call) -> Response:
    """The whole answer, or a stream that has its first event, so that refusals have a status of their own."""
    service, limits = context.service, context.limits
    requests = [await _prepare(context, call, index) for index in range(len(call.conversations))]
    too_many = (call.body.token_limit or 0) > limits.max_tokens
    headers = {MAX_TOKENS_HEADER: str(limits.max_tokens)} if too_many else {}
    if call.body.stream:
        items = merge_streams([service.stream(request) for request in requests])
        first = await anext(items)
        events = _events(context, requests, first, items, call)
        return EventStreamResponse(events, context.close_stream, headers)
    answers = await gather_or_cancel([service.answer(request) for request in requests])
    for request, (answer, metadata) in zip(requests, answers, strict=True):
        raise_if_failed(answer.finish, limits.seconds)
        context.record_answer(request, answer.finish.usage, metadata.grounding)
    return JSONResponse(call.formatter.response(answers).model_dump(), headers=headers)


async def _prepare(context: RequestContext, call: _Call, index: int) -> PreparedRequest:
    body, settings, limit = call.body, context.service.settings, context.limits.max_tokens
    options = body.llink
    instruction = settings.default_instruction
    if options is not None and options.default_instruction is not None:
        instruction = options.default_instruction or None
    turns = call.conversations[index]
    if options is not None and options.convert_zawgyi:
        turns = [(role, convert_zawgyi(text)) for role, text in turns]
    max_tokens = limit if body.token_limit is None else body.token_limit
    sampling = SamplingParams(
        max_tokens=max(1, min(max_tokens, limit)),
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=body.seed,
        stop=body.stops,
        logprobs=call.logprobs,
        strip=not call.echo,
    )
    try:
        request = await context.service.prepare(
            turns,
            body.model,
            sampling,
            seconds=context.seconds_left,
            grounding=options is not None and options.grounding,
            instruction=instruction,
            echo_max_tokens=min(max_tokens, limit) if call.echo else None,
        )
    except (LanguageNotServed, TooLong, NotUnicode) as error:
        raise with_param(error, lambda message: call.field_name(index, message)) from None
    context.set_request(request)
    if max_tokens <= limit:
        return request
    cut = Notice(
        code="max_tokens_cut", message=f"more tokens were asked for than the {limit} of a longest answer"
    )
    return replace(request, notices=(*request.notices, cut))


async def _events(
    context: RequestContext,
    requests: Sequence[PreparedRequest],
    first: Item,
    items: AsyncGenerator[Item, None],
    call: _Call,
) -> AsyncGenerator[bytes, None]:
    """Server-sent events; an error in mid-stream is the last of them."""
    formatter, done = call.formatter, dict[int, FinishInfo]()
    complete = 0
    try:
        if (opening := formatter.first_chunk()) is not None:
            yield encode_event(opening)
        item: Item | None = first
        while item is not None:
            index, event = item
            if isinstance(event, ResponseMetadata):
                complete += 1
                context.record_answer(requests[index], done[index].usage, event.grounding)
                yield encode_event(formatter.last_chunk(done[index], event, index))
            else:
                if (chunk := formatter.chunk(event, index)) is not None:
                    context.record_first_token()
                    yield encode_event(chunk)
                if event.finish is not None:
                    raise_if_failed(event.finish, context.limits.seconds)
                    done[index] = event.finish
            async with context.timeout(_DECODER_GRACE):
                item = await anext(items, None)
        assert complete == len(requests), "every choice ends with its metadata"
        if call.body.wants_usage:
            yield encode_event(formatter.usage_chunk([done[index] for index in sorted(done)]))
        yield DONE_EVENT
    except Exception as error:
        _record_failure(context, error)
        yield error_event(to_api_error(error))
    finally:
        await items.aclose()


def _record_failure(context: RequestContext, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError | GeneratorExit | ClientDisconnected):
        context.outcome = "cancelled"
    elif isinstance(error, Exception):
        context.outcome = str(to_api_error(error, log=False).status)
