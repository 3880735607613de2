"""A small application behind the edge, and ways to ask it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from llink_ray.errors import JobFailed, LlinkError
from serve import access_log, exception_handlers, middleware, sse, validation
from serve.admission import AdmissionController
from serve.backend import Overloaded
from serve.errors import ApiError
from serve.keys import CALLER, KeyRing
from serve.protocol import ChatRequest, CompletionRequest, EmbeddingsRequest, TokenizeRequest
from serve.responses import ERRORS
from serve.settings import ServeSettings


def edge(
    settings: ServeSettings | None = None,
    ring: KeyRing | None = None,
    tells_id: bool = True,
    **admission: Any,
) -> FastAPI:
    """Echoes what it was asked, behind everything that the edge has."""
    settings, ring = settings or ServeSettings(), ring or KeyRing()
    places = AdmissionController(settings.limits.in_flight, **admission)
    app = FastAPI(responses=ERRORS, redirect_slashes=False)
    middleware.install(app, settings, ring, tells_id=tells_id)
    exception_handlers.install(app)

    async def admitted(request: Request) -> AsyncIterator[None]:
        async with places.enter(request.scope[CALLER]):
            yield

    @app.post("/v1/chat/completions", dependencies=[Depends(admitted)])
    async def chat(asked: ChatRequest, request: Request) -> Any:
        validation.check_chat(asked, settings.limits)
        access_log.note(request.scope, prompt=asked.said[-1][1])
        return {"said": asked.said}

    @app.post("/v1/completions", dependencies=[Depends(admitted)])
    async def complete(asked: CompletionRequest) -> Any:
        validation.check_completion(asked, settings.limits)
        return {"texts": asked.texts}

    @app.post("/v1/embeddings")
    async def embed(asked: EmbeddingsRequest) -> Any:
        validation.check_batch(asked, settings.limits)
        return {"texts": asked.texts}

    @app.post("/v1/tokenize")
    async def tokenize(asked: TokenizeRequest) -> Any:
        validation.check_tokenize(asked, settings.limits)
        return {"said": asked.said}

    @app.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise raised(how)

    @app.get("/stream")
    async def stream(fail: bool = False) -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            yield sse.event({"text": "བོད"})
            await asyncio.sleep(0)
            if fail:
                raise RuntimeError("secret")
            yield sse.DONE

        return StreamingResponse(events(), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)

    app.state.admission = places
    return app


def raised(how: str) -> Exception:
    """An exception of each family."""
    from llink_ray.engine.types import QueueFull
    from llink_ray.prompts.conversation import LanguageNotServed
    from llink_ray.text.languages import find

    return {
        "full": QueueFull("the queue is full: ask again later"),
        "wrong": LlinkError("a \ud800 of wrong use"),
        "failed": JobFailed("secret"),
        "closed": Overloaded("closed: come back"),
        "language": LanguageNotServed(find("my"), ["bo"]),
        "late": ApiError.deadline(1.5),
        "model": ApiError.model_not_found("there is no model 'x'"),
    }.get(how) or RuntimeError("secret")


def client(app: FastAPI) -> TestClient:
    """Asks without a network; what a server would log is not raised here."""
    return TestClient(app, raise_server_exceptions=False)


def chat(text: Any = "hello", **fields: Any) -> dict[str, Any]:
    """A request's body."""
    return {"model": "llink", "messages": [{"role": "user", "content": text}], **fields}


class Lines(logging.Handler):
    """Gathers the log's lines, read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(json.loads(record.getMessage()))


def logged() -> Iterator[list[dict[str, Any]]]:
    """The lines that are written meanwhile."""
    lines = Lines()
    access_log.access.addHandler(lines)
    try:
        yield lines.found
    finally:
        access_log.access.removeHandler(lines)
