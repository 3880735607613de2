"""Reverse proxies on loopback: one that takes a prefix off, one that changes what the API says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx2
from listening import listening
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"}
Change = Callable[[str, bytes], bytes]
"""Path and a line (or the whole of what is no stream): what is passed on instead."""


@contextmanager
def proxy(target: str, prefix: str = "", change: Change | None = None) -> Iterator[str]:
    """Its address; what lies outside of ``prefix`` is not there."""
    client = httpx2.AsyncClient(timeout=None)

    async def pass_on(request: Request) -> Response:
        path = request.url.path
        if not path.startswith(prefix):
            return Response("outside of the prefix", 404)
        path = path.removeprefix(prefix)
        headers = [(k, v) for k, v in request.headers.items() if k not in {"accept-encoding", *_HOP}]
        headers.append(("accept-encoding", "identity"))  # what is passed on can be read
        if prefix:
            host = request.headers["host"]
            headers += [("x-forwarded-host", host), ("x-forwarded-proto", "http")]
            headers += [("x-forwarded-prefix", prefix)]
        asked = client.build_request(
            request.method,
            f"{target}{path}" + (f"?{request.url.query}" if request.url.query else ""),
            headers=headers,
            content=await request.body(),
        )
        answer = await client.send(asked, stream=True)
        is_stream = "event-stream" in answer.headers.get("content-type", "")

        async def body() -> AsyncIterator[bytes]:
            try:
                if change is None:
                    async for part in answer.aiter_raw():
                        yield part
                elif is_stream:
                    async for line in answer.aiter_lines():
                        yield change(path, line.encode()) + b"\n"
                else:
                    yield change(path, await answer.aread())
            finally:
                await answer.aclose()

        told = StreamingResponse(body(), answer.status_code)
        told.raw_headers = [
            (k.lower().encode("latin-1"), v.encode("latin-1"))
            for k, v in answer.headers.multi_items()
            if k.lower() not in _HOP
        ]
        return told

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
    app = Starlette(routes=[Route("/{path:path}", pass_on, methods=methods)])
    with listening(app, at_once=True, lifespan="off") as url:
        yield f"{url}{prefix}"
