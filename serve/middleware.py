"""What lies around every request. Plain ASGI: streams pass through as they come, and so do cancellations."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import logs
from serve.errors import ApiError
from serve.handlers import unexpected
from serve.settings import ServeSettings


def install(app: FastAPI, settings: ServeSettings) -> None:
    """Put them around the application: the last one added is the outermost."""
    logs.to_stderr()
    app.add_middleware(BodyLimit, most=settings.limits.body_bytes)
    if settings.http.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=("x-request-id", "retry-after", "x-llink-max-tokens"),
        )
    app.add_middleware(RequestId, log_prompts=settings.log_prompts)


class RequestId:
    """Gives each request its id, and the log its line; outermost, so that it sees what the others answer."""

    def __init__(self, app: ASGIApp, log_prompts: bool = False) -> None:
        self._app, self._log_prompts = app, log_prompts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        chosen = logs.begin(Headers(scope=scope).get("x-request-id"))
        notes: dict[str, Any] = {}
        scope[logs.NOTES] = notes
        status, size, whole = 0, 0, False

        async def told(message: Message) -> None:
            nonlocal status, size, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = chosen
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
                whole = whole or not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            if status:  # too late to say so: the connection breaks off, which every client notices
                raise
            await unexpected(error).response(scope, receive, told)
        finally:
            fields = {
                "id": chosen,
                "method": scope["method"],
                "path": getattr(scope.get("route"), "path", None),
                "status": status or None,
                "seconds": round(time.monotonic() - begun, 4),
                "bytes": size,
            }
            logs.write(fields if whole else {**fields, "broken_off": True}, notes, self._log_prompts)


class BodyLimit:
    """413 for a body that is too large: at once where its length is told, else as soon as it is passed.

    What the application makes of a body that broke off is not sent.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = ApiError.too_large(self._most).response
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._most):
            await refusal(scope, receive, send)
            return
        size, over, begun = 0, False, False

        async def counted() -> Message:
            nonlocal size, over
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._most:
                    over = True
                    raise TooLarge
            return message

        async def guarded(message: Message) -> None:
            nonlocal begun
            if over and not begun:
                return
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, guarded)
        except Exception:
            if not over or begun:
                raise
        if over and not begun:
            await refusal(scope, receive, send)


class TooLarge(Exception):
    """A body passed the limit while it was read."""
