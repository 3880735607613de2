"""The HTTP API as one FastAPI application over a :class:`Service`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI

from serve import admin_routes, completion_routes, embedding_routes, exception_handlers, middleware
from serve.request_guard import RequestGuard
from serve.responses import ERRORS
from serve.service import Service

_DESCRIPTION = """Every taught language over one English decoder, in the shape of OpenAI's API.

`model`: `llink` detects the languages of each message, `llink:bo` reads all foreign text as Tibetan, the base
model's own name reads all text as it stands. Answers carry an object `llink`: which span was taken for which
language, how many slots it became, and the prompt's tokens with and without them."""


def create_app(service: Service, *, send_id: bool = True) -> FastAPI:
    """The application; it follows the registry while it runs.

    ``send_id``: see ``middleware.install``.

    Raises:
        LlinkError: keys that cannot be used.
    """
    guard = RequestGuard(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(service.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    app = FastAPI(
        title="llink_ray",
        description=_DESCRIPTION,
        version=version("llink-ray"),
        lifespan=lifespan,
        root_path=service.settings.http.root_path,
        redirect_slashes=False,  # a redirect would name the host that the request claims
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        responses=ERRORS,
    )
    for routes in (completion_routes, embedding_routes, admin_routes):
        app.include_router(routes.router(guard))
    exception_handlers.install(app)
    middleware.install(app, service.settings, guard.keys, send_id=send_id)
    return app
