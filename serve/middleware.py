"""ASGI middleware around every request. Streams and cancellations pass through as they come."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import access_log
from serve.errors import ApiError
from serve.exception_handlers import internal_error
from serve.keys import CALLER_KEY, Caller, KeyRing
from serve.request_body import BodyMiddleware
from serve.settings import ServeSettings

_PUBLIC_PATHS = frozenset({"/health", "/ready", "/openapi.json"})
"""Need no key."""
_ADMIN_PREFIX = "/admin/"


def install(app: FastAPI, settings: ServeSettings, keys: KeyRing, *, send_id: bool = True) -> None:
    """Add the middleware to an application; the last one added is the outermost.

    ``send_id`` is for servers that do not write ``x-request-id`` into the response themselves.
    """
    access_log.log_to_stderr()
    limits = settings.limits
    app.add_middleware(
        BodyMiddleware, max_bytes=limits.body_bytes, seconds=min(limits.body_seconds, limits.seconds)
    )
    app.add_middleware(AuthenticationMiddleware, keys=keys)
    app.add_middleware(HeadMiddleware)
    if settings.http.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http.cors_origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            expose_headers=("x-request-id", "retry-after", "x-llink-max-tokens"),
        )
    app.add_middleware(AccessLogMiddleware, log_prompts=settings.log_prompts, send_id=send_id)


class AccessLogMiddleware:
    """Gives each request its id and its log line; outermost, so that it sees what the others answer."""

    def __init__(self, app: ASGIApp, log_prompts: bool = False, send_id: bool = True) -> None:
        self._app, self._log_prompts, self._send_id = app, log_prompts, send_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = scope[access_log.START_KEY] = time.monotonic()
        request_id = access_log.set_request_id(Headers(scope=scope).get("x-request-id"))
        extra: dict[str, Any] = {}
        scope[access_log.FIELDS_KEY] = extra
        status, size, complete = 0, 0, False

        async def send_and_record(message: Message) -> None:
            nonlocal status, size, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._send_id:
                    MutableHeaders(scope=message)["x-request-id"] = request_id
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
                complete = complete or not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        except Exception as error:
            if status:  # the response has begun: a connection that breaks off is noticed by every client
                raise
            await internal_error(error).response(scope, receive, send_and_record)
        finally:
            fields = {
                "request_id": request_id,
                "method": scope["method"],
                "path": getattr(scope.get("route"), "path", None),
                "status": status or None,
                "duration_seconds": round(time.monotonic() - start, 4),
                "response_bytes": size,
                **({} if complete else {"aborted": True}),
            }
            access_log.write(fields | extra, self._log_prompts)


class HeadMiddleware:
    """Answers ``HEAD`` like ``GET``, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                headers = MutableHeaders(scope=message)
                allowed = headers.get("allow", "").split(", ")
                if "GET" in allowed and "HEAD" not in allowed:
                    headers["allow"] = ", ".join([*allowed, "HEAD"])
            if is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"} if is_head else scope
        try:
            await self._app(inner, receive, send_head)
        finally:
            if "route" in inner:  # for the access log
                scope["route"] = inner["route"]


class AuthenticationMiddleware:
    """Checks the key before the body is read."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (path := _route_path(scope)) not in _PUBLIC_PATHS:
            header = Headers(scope=scope).get("authorization")
            try:
                if path.startswith(_ADMIN_PREFIX):
                    self._keys.require_admin(header)
                    scope[CALLER_KEY] = Caller("admin")
                else:
                    scope[CALLER_KEY] = self._keys.authenticate(header)
            except ApiError as error:
                await error.response(scope, receive, send)
                return
            access_log.add_fields(scope, caller=scope[CALLER_KEY].name)
        await self._app(scope, receive, send)


def _route_path(scope: Scope) -> str:
    """The path without ``root_path``, as routes are matched."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and (path + "/").startswith(root + "/") else path
