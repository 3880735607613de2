"""Middleware for Ray Serve's own HTTP proxy, in that proxy's process.

Ray loads it by the name in ``VARIABLE``, which has to be in the environment of every node with a proxy;
where Ray is started here, it is.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from serve import access_log, head_deadline, ray_patches
from serve.errors import ApiError
from serve.exception_handlers import internal_error

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PATH = "serve.proxy.middlewares"

_ID = b"x-request-id"
_RAY_HEADERS = frozenset(
    {
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"x-session-id",
        b"serve-multiplexed-model-id",
    }
)
"""Headers that steer Ray's routing and timeouts: not for clients."""


def middlewares() -> list[Middleware]:
    """Ray calls this in each proxy before it listens."""
    ray_patches.patch_channels()
    # Uvicorn's other parser takes a body for another protocol's bytes where the request offers to change
    # to one (``Upgrade: h2c``, as Java's own client does at its first request), and drops it. This one
    # is built on h11.
    HTTP_PROTOCOLS["auto"] = head_deadline.PROTOCOL
    return [Middleware(ProxyMiddleware)]


class ProxyMiddleware:
    """One id for each request, no headers that steer Ray, and Ray's refusals in OpenAI's shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = access_log.valid_or_new_id(Headers(scope=scope).get("x-request-id"))
        headers = [(name, value) for name, value in scope["headers"] if not _is_dropped(name)]
        scope["headers"] = [*headers, (_ID, request_id.encode())]
        response = _Response(request_id, send)
        is_http = scope["type"] == "http"
        try:
            await self._app(scope, receive, response)
        except Exception as error:
            if response.started or not is_http:
                raise
            await response.send_error(internal_error(error))
        if is_http and not response.started:  # Ray ends so where an ingress died under the request
            await response.send_error(ApiError(503, "a part of the service went away: ask again in a moment"))


def _is_dropped(name: bytes) -> bool:
    name = name.lower()
    return name == _ID or name.replace(b"_", b"-") in _RAY_HEADERS


class _Response:
    """``send`` that sets the id and replaces Ray's plain-text refusals."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.started = False
        self._request_id, self._send = request_id, send
        self._replacement: ApiError | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] >= 400 and headers.get("content-type", "").startswith("text/plain"):
                self._replacement = _from_ray(message["status"], headers.get("retry-after"))
                return
            self.started = True
            headers["x-request-id"] = self._request_id
        elif self._replacement is not None:
            if not message.get("more_body", False):
                await self.send_error(self._replacement)
            return
        await self._send(message)

    async def send_error(self, error: ApiError) -> None:
        """Answer in place of the application."""
        self.started = True
        response = error.response
        response.headers["x-request-id"] = self._request_id
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": response.body})


def _from_ray(status: int, retry_after: str | None) -> ApiError:
    """Ray's own refusals: no application or replica yet, or too many requests."""
    if status == 404:
        return ApiError.not_found()
    if status == 408:
        return ApiError(408, "the answer was not done in time: ask again")
    if status in (429, 503):
        message = "the service is starting, ending, or asked for too much at once: ask again in a moment"
        return ApiError(503, message, retry_after=float(retry_after or 1))
    return ApiError.internal()
