"""The page as a web server: login, host check, headers and a bound on bodies."""

from __future__ import annotations

import asyncio
import hmac
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from ui.api_client import ApiClient
from ui.settings import UiSettings

Login = Callable[[str, str], Coroutine[Any, Any, bool]]
_CONTENT_SECURITY_POLICY = {
    "default-src": "'self' data: blob:",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
}
"""Gradio's page creates functions and styles at run time; no other host may be contacted."""
_HEADERS = {
    "content-security-policy": "; ".join(
        f"{name} {value}" for name, value in _CONTENT_SECURITY_POLICY.items()
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_WRONG_LOGIN_SECONDS = 1.0
_SHUTDOWN_SECONDS = 3
"""For open requests: a page keeps one for as long as it is open."""


def listen(settings: UiSettings) -> socket.socket:
    """A listening socket, opened before anything slow is started.

    Raises:
        LlinkError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise LlinkError(
            f"port {settings.port} on {settings.host} cannot be used ({error.strerror}): stop what listens "
            "there, or choose another with --port"
        ) from None
    return listener


def serve(
    settings: UiSettings, api: ApiClient, passwords: Mapping[str, str], listener: socket.socket
) -> None:
    """Serve the page until a signal ends it."""
    with closing(listener):
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        ending = asyncio.Event()
        config = uvicorn.Config(
            application(settings, api, passwords, ending),
            http="h11",  # httptools drops the body of a request that offers a protocol upgrade
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        _Server(config, url, ending).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Prints the address once it answers, and sets ``ending`` when it shuts down."""

    def __init__(self, config: uvicorn.Config, url: str, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._url, self._ending = url, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"chat on {self._url}, Ctrl-C stops it", file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        await super().shutdown(sockets)


def application(
    settings: UiSettings, api: ApiClient, passwords: Mapping[str, str], ending: asyncio.Event | None = None
) -> FastAPI:
    """The page as an ASGI application; open requests end once ``ending`` is set."""
    import gradio as gr

    from ui.page import build
    from ui.theme import launch_arguments

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await api.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    hosts = None if passwords else frozenset(settings.hosts)
    app.add_middleware(HostGuard, max_body_bytes=settings.body_bytes, hosts=hosts, ending=ending)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        build(settings, api),
        path="/",
        root_path=settings.root_path or None,
        auth=check_login(passwords) if passwords else None,
        auth_message="This chat wants a name and a password." if passwords else None,
        max_file_size=settings.file_bytes,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=True,
        **launch_arguments(),
    )
    return mounted


def check_login(passwords: Mapping[str, str]) -> Login:
    """A function that checks a name and a password; a wrong guess is answered late."""

    async def check(name: str, password: str) -> bool:
        expected = passwords.get(name)
        same = hmac.compare_digest((expected or "").encode(), password.encode("utf-8", "replace"))
        if expected is not None and same:
            return True
        await asyncio.sleep(_WRONG_LOGIN_SECONDS)
        return False

    return check


class HostGuard:
    """ASGI middleware: checks the requested host, bounds the body, adds security headers.

    ``hosts`` are the names that may be asked for beside loopback's; None allows all. Without a login, a page
    elsewhere could point its own name at this machine and read the replies (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        hosts: frozenset[str] | None = None,
        ending: asyncio.Event | None = None,
    ) -> None:
        self._app, self._max_body_bytes, self._hosts = app, max_body_bytes, hosts
        self._ending = ending or asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if refusal := self._refusal(Headers(scope=scope)):
            await refusal(scope, receive, send)
            return
        received = 0

        async def bounded_receive() -> Message:
            """A body without a length ends for the page where it becomes too long."""
            nonlocal received
            message = await self._receive(receive)
            received += len(message.get("body", b""))
            return message if received <= self._max_body_bytes else {"type": "http.disconnect"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if "location" in headers:  # Gradio takes its host from the request, which anybody can forge
                    location = urlsplit(headers["location"])
                    path = f"/{location.path.lstrip('/')}"
                    headers["location"] = location._replace(scheme="", netloc="", path=path).geturl()
            await send(message)

        await self._app(scope, bounded_receive, send_with_headers)

    def _refusal(self, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if not (self._hosts is None or name in self._hosts or is_loopback(name)):
            message = (
                f"this chat is not meant to be reached as {headers.get('host')!r}: add that name to hosts"
            )
            return PlainTextResponse(message, 421)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self._max_body_bytes:
            return PlainTextResponse(f"more than {self._max_body_bytes} bytes: send less", 413)
        return None

    async def _receive(self, receive: Receive) -> Message:
        """The next message; a disconnect once the server ends, which an open page would not send."""
        message = asyncio.ensure_future(receive())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((message, ending), return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else {"type": "http.disconnect"}
        finally:
            message.cancel()
            ending.cancel()
