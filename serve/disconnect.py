"""Callers that go away: what was done for them ends at once, and their place is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serve import sse

T = TypeVar("T")


class ClientDisconnected(Exception):
    """Nobody waits for the answer any more."""


async def cancel_on_disconnect(request: Request, work: Awaitable[T]) -> T:
    """The outcome of ``work``, which is cancelled when its caller hangs up: servers do not do that.

    Raises:
        Gone: the caller went away first.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        watching.result()
        raise ClientDisconnected
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    """Returns once the connection is gone; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


class EventStream(StreamingResponse):
    """Server-sent events that are closed, and left, however the response ends, also before its first byte.

    An iteration that is dropped is closed some time later; the place in the batch would be held till then.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        leave: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(events, media_type=sse.MEDIA_TYPE, headers={**sse.HEADERS, **(headers or {})})
        self._events, self._leave = events, leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._events.aclose()
            finally:
                self._leave()
