"""What lies around every request. Plain ASGI: streams pass through as they come, and so do cancellations."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import access_log
from serve.errors import ApiError
from serve.exception_handlers import unexpected
from serve.keys import CALLER, Caller, KeyRing
from serve.request_body import BodyMiddleware
from serve.settings import ServeSettings

_OPEN = frozenset({"/health", "/ready", "/openapi.json"})
"""What nobody needs a key for."""
_ADMIN = "/admin/"


def install(app: FastAPI, settings: ServeSettings, ring: KeyRing, *, tells_id: bool = True) -> None:
    """Put them around the application: the last one added is the outermost.

    ``tells_id`` is for servers that do not write the request's id into the answer by themselves.
    """
    access_log.to_stderr()
    limits = settings.limits
    app.add_middleware(
        BodyMiddleware, most=limits.body_bytes, seconds=min(limits.body_seconds, limits.seconds)
    )
    app.add_middleware(AuthenticationMiddleware, ring=ring)
    app.add_middleware(HeadMiddleware)
    if settings.http.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http.cors_origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            expose_headers=("x-request-id", "retry-after", "x-llink-max-tokens"),
        )
    app.add_middleware(AccessLogMiddleware, log_prompts=settings.log_prompts, tells_id=tells_id)


class AccessLogMiddleware:
    """Gives each request its id, and the log its line; outermost, so that it sees what the others answer."""

    def __init__(self, app: ASGIApp, log_prompts: bool = False, tells_id: bool = True) -> None:
        self._app, self._log_prompts, self._tells_id = app, log_prompts, tells_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = scope[access_log.BEGAN] = time.monotonic()
        chosen = access_log.begin(Headers(scope=scope).get("x-request-id"))
        notes: dict[str, Any] = {}
        scope[access_log.NOTES] = notes
        status, size, whole = 0, 0, False

        async def told(message: Message) -> None:
            nonlocal status, size, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._tells_id:
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
            access_log.write(fields if whole else {**fields, "broken_off": True}, notes, self._log_prompts)


class HeadMiddleware:
    """Answers ``HEAD`` as ``GET``, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        alone = scope["method"] == "HEAD"

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                _allow_head(MutableHeaders(scope=message))
            if alone and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": "GET"} if alone else scope
        try:
            await self._app(asked, receive, told)
        finally:
            if "route" in asked:  # for the log
                scope["route"] = asked["route"]


def _allow_head(headers: MutableHeaders) -> None:
    allowed = headers.get("allow", "").split(", ")
    if "GET" in allowed and "HEAD" not in allowed:
        headers["allow"] = ", ".join([*allowed, "HEAD"])


class AuthenticationMiddleware:
    """Nobody without a key gets further, whatever the body is: it is not read before."""

    def __init__(self, app: ASGIApp, ring: KeyRing) -> None:
        self._app, self._ring = app, ring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (path := _route_path(scope)) not in _OPEN:
            header = Headers(scope=scope).get("authorization")
            try:
                if path.startswith(_ADMIN):
                    self._ring.require_admin(header)
                    scope[CALLER] = Caller("admin")
                else:
                    scope[CALLER] = self._ring.authenticate(header)
            except ApiError as error:
                await error.response(scope, receive, send)
                return
            access_log.note(scope, caller=scope[CALLER].name)
        await self._app(scope, receive, send)


def _route_path(scope: Scope) -> str:
    """What is asked for, as routes are compared with it: without the prefix of ``root_path``."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and (path + "/").startswith(root + "/") else path
