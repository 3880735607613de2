"""The page behind HTTP: a login where there is one, hosts, headers, bounds; its address once it answers."""

from __future__ import annotations

import asyncio
import hmac
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from ui.api import Api
from ui.settings import UiSettings

Login = Callable[[str, str], Coroutine[Any, Any, bool]]
_POLICY = {
    "default-src": "'self' data: blob:",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
}
"""Gradio's page makes functions and styles as it goes; what counts is that no other host is asked."""
_HEADERS = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_WRONG_LOGIN_SECONDS = 1.0
_GRACE = 3
"""Seconds that what is open has at the end: pages keep a connection for as long as they stand."""


def listen(settings: UiSettings) -> socket.socket:
    """The address, taken before anything slow is begun.

    Raises:
        LlinkError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((settings.host, settings.port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise LlinkError(
            f"port {settings.port} on {settings.host} cannot be used ({error.strerror}): stop what listens "
            "there, or choose another with --port"
        ) from None
    return taken


def serve(settings: UiSettings, api: Api, passwords: Mapping[str, str], taken: socket.socket) -> None:
    """Serve the page until told to stop."""
    with closing(taken):
        host, port = taken.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        ending = asyncio.Event()
        app = application(settings, api, passwords, ending)
        config = uvicorn.Config(
            app,
            http="h11",  # the other drops bodies of requests that offer another protocol
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        _Telling(config, f"http://{shown}:{port}", ending).run(sockets=[taken])


class _Telling(uvicorn.Server):
    """Says where, once it answers; and at the end to what is open that it is the end."""

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
    settings: UiSettings, api: Api, passwords: Mapping[str, str], ending: asyncio.Event | None = None
) -> FastAPI:
    """The page as an ASGI application; once ``ending`` is set, what is open ends."""
    import gradio as gr

    from ui import theme as look
    from ui.page import build

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await api.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    hosts = None if passwords else frozenset(settings.hosts)
    app.add_middleware(HostGuard, most=settings.body_bytes, hosts=hosts, ending=ending)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        build(settings, api),
        path="/",
        root_path=settings.root_path or None,
        auth=login(passwords) if passwords else None,
        auth_message="This chat wants a name and a password." if passwords else None,
        max_file_size=settings.file_bytes,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=True,
        **look.arguments(),
    )
    return mounted


def login(passwords: Mapping[str, str]) -> Login:
    """Whether a name and a password are right; a wrong guess takes a while."""

    async def right(name: str, password: str) -> bool:
        known = passwords.get(name)
        same = hmac.compare_digest((known or "").encode(), password.encode("utf-8", "replace"))
        if known is not None and same:
            return True
        await asyncio.sleep(_WRONG_LOGIN_SECONDS)
        return False

    return right


def _here(location: str) -> str:
    """The same place without a host: Gradio takes that from the request, which anybody can have written."""
    parts = urlsplit(location)
    return urlunsplit(("", "", f"/{parts.path.lstrip('/')}", parts.query, parts.fragment))


class HostGuard:
    """Around every request: the host it names, a bound on its body, headers that keep the page to itself.

    ``hosts`` are the names beside loopback's that may be asked for; None lets all in. Where nobody logs in, a
    stranger's page could give its own name this machine's address and read what it gets (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        most: int,
        hosts: frozenset[str] | None = None,
        ending: asyncio.Event | None = None,
    ) -> None:
        self._app, self._most, self._hosts = app, most, hosts
        self._ending = ending or asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._meant(headers.get("host", "")):
            why = f"this chat is not meant to be reached as {headers.get('host')!r}: add that name to hosts"
            await PlainTextResponse(why, 421)(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self._most:
            refusal = PlainTextResponse(f"more than {self._most} bytes: send less", 413)
            await refusal(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            """One that does not say how long it is ends, for the page, where it has become too long."""
            nonlocal size
            message = await self._received(receive)
            size += len(message.get("body", b""))
            return message if size <= self._most else {"type": "http.disconnect"}

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if "location" in headers:
                    headers["location"] = _here(headers["location"])
            await send(message)

        await self._app(scope, counted, told)

    async def _received(self, receive: Receive) -> Message:
        """What comes; at the end of the chat, that the page is gone, which by itself it will not be."""
        coming = asyncio.ensure_future(receive())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            ending.cancel()

    def _meant(self, host: str) -> bool:
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return self._hosts is None or name in self._hosts or is_loopback(name)
