"""What stands before Ray Serve's own HTTP proxy, in that proxy's process.

Ray asks for it under the name in ``VARIABLE``, which has to be in the environment of every node that has a
proxy; where Ray is started here, it is.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from serve import access_log, ray_patches
from serve.errors import ApiError
from serve.exception_handlers import unexpected

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PATH = "serve.proxy.middlewares"

_ID = b"x-request-id"
_ORDERS = frozenset(
    {
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"x-session-id",
        b"serve-multiplexed-model-id",
    }
)
"""Headers that tell Ray how long to wait, whom to ask, and to work on for those who left: not for callers."""
_TEXT = "text/plain"


def middlewares() -> list[Middleware]:
    """Ray calls this in each proxy before it listens."""
    ray_patches.call_directly()
    # Uvicorn's other parser takes a body for another protocol's bytes where the request offers to change
    # to one (``Upgrade: h2c``, as Java's own client does at its first request), and drops it.
    HTTP_PROTOCOLS["auto"] = HTTP_PROTOCOLS["h11"]
    return [Middleware(ProxyMiddleware)]


class ProxyMiddleware:
    """One id for each request, no orders to Ray, and Ray's own refusals in the shape that clients read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        chosen = access_log.chosen(Headers(scope=scope).get("x-request-id"))
        passed = [(name, value) for name, value in scope["headers"] if not _kept_back(name)]
        scope["headers"] = [*passed, (_ID, chosen.encode())]
        told = _Told(chosen, send)
        http = scope["type"] == "http"
        try:
            await self._app(scope, receive, told)
        except Exception as error:
            if told.begun or not http:
                raise
            await told.tell(unexpected(error))
        if http and not told.begun:  # so Ray ends where an ingress died; nobody reads it who has hung up
            await told.tell(ApiError.overloaded("a part of the service went away: ask again in a moment"))


def _kept_back(name: bytes) -> bool:
    name = name.lower()
    return name == _ID or name.replace(b"_", b"-") in _ORDERS


class _Told:
    """The way out."""

    def __init__(self, chosen: str, send: Send) -> None:
        self.begun = False
        self._chosen, self._send = chosen, send
        self._instead: ApiError | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] >= 400 and headers.get("content-type", "").startswith(_TEXT):
                self._instead = _own(message["status"], headers.get("retry-after"))
                return
            self.begun = True
            headers["x-request-id"] = self._chosen
        elif self._instead is not None:
            if not message.get("more_body", False):
                await self.tell(self._instead)
            return
        await self._send(message)

    async def tell(self, error: ApiError) -> None:
        """An answer that did not come from the application."""
        self.begun = True
        response = error.response
        response.headers["x-request-id"] = self._chosen
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": response.body})


def _own(status: int, retry_after: str | None) -> ApiError:
    """What Ray says by itself: no application yet, no replica, too much at once."""
    if status == 404:
        return ApiError.nothing_here()
    if status == 408:
        return ApiError(408, "the answer was not done in time: ask again", code="request_timeout")
    if status in (429, 503):
        told = "the service is starting, ending, or asked for too much at once: ask again in a moment"
        return ApiError.overloaded(told, float(retry_after or 1))
    return ApiError.internal()
