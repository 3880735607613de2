"""Streaming: server-sent events as OpenAI's clients read them, merged generators, clients that disconnect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serve.errors import ApiError

T = TypeVar("T")
MEDIA_TYPE = "text/event-stream"
HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
"""Keeps proxies from buffering or changing events."""
DONE_EVENT = b"data: [DONE]\n\n"


def encode_event(data: Mapping[str, Any] | BaseModel) -> bytes:
    """One server-sent event.

    Raises:
        ValueError: infinity or not-a-number, which JSON lacks.
    """
    if isinstance(data, BaseModel):
        data = data.model_dump()
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "replace")


def error_event(error: ApiError) -> bytes:
    """The last event of a stream that fails."""
    return encode_event(error.body)


async def gather_or_cancel(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; where one fails the others are cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def merge_streams(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """(index of the stream, item) as they come; closing it closes all streams."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as stream:
            async for item in stream:
                yield 0, item
        return
    pending = {asyncio.ensure_future(anext(stream)): index for index, stream in enumerate(streams)}
    try:
        while pending:
            ready, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(ready, key=pending.__getitem__):
                index = pending.pop(task)
                with suppress(StopAsyncIteration):
                    item = task.result()
                    pending[asyncio.ensure_future(anext(streams[index]))] = index
                    yield index, item
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.gather(*(stream.aclose() for stream in streams))


class ClientDisconnected(Exception):
    """The client closed the connection before it was answered."""


async def cancel_on_disconnect(request: Request, work: Awaitable[T]) -> T:
    """The result of ``work``, which is cancelled when the client disconnects: servers do not do that.

    Raises:
        ClientDisconnected: the client went away first.
    """
    working = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait((working, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        disconnect.result()
        raise ClientDisconnected
    finally:
        for task in (working, disconnect):
            task.cancel()
        await asyncio.gather(working, disconnect, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":  # the body was read before
        continue


class EventStreamResponse(StreamingResponse):
    """Server-sent events; the generator is closed and ``on_close`` called however the response ends.

    That includes an end before its first byte. A generator that is merely dropped is closed some time later,
    and would hold its row of the running batch till then.
    """

    def __init__(
        self, events: AsyncGenerator[bytes, None], on_close: Callable[[], None], headers: Mapping[str, str]
    ) -> None:
        super().__init__(events, media_type=MEDIA_TYPE, headers={**HEADERS, **headers})
        self._events, self._on_close = events, on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._events.aclose()
            finally:
                self._on_close()
