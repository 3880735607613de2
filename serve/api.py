"""The HTTP API as one ASGI application over a :class:`Service`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI

from serve import admin_routes as state
from serve import completion_routes as answering
from serve import embedding_routes as texts
from serve import exception_handlers, middleware
from serve.request_guard import RequestGuard
from serve.responses import ERRORS
from serve.service import Service

_ABOUT = """Every taught language over one English decoder, in the shape of OpenAI's API.

`model`: `llink` finds the languages of each message by itself, `llink:bo` reads all that is foreign as
Tibetan, the base's own name leaves all text as it stands. Answers carry an object `llink`: which stretch was
taken for which language, how many slots stood for it, and what the prompt cost with and without them."""


def create_app(service: Service, *, tells_id: bool = True) -> FastAPI:
    """The application; it follows the registry while it runs.

    ``tells_id``: see ``middleware.install``.

    Raises:
        LlinkError: keys that cannot be used.
    """
    edge = RequestGuard(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(service.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    app = FastAPI(
        title="llink_ray",
        description=_ABOUT,
        version=version("llink-ray"),
        lifespan=lifespan,
        root_path=service.settings.http.root_path,
        redirect_slashes=False,  # it would name the host that the request says it was sent to
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        responses=ERRORS,
    )
    for part in (answering, texts, state):
        app.include_router(part.router(edge))
    exception_handlers.install(app)
    middleware.install(app, service.settings, edge.ring, tells_id=tells_id)
    return app
