"""A small application behind the service's middleware, and ways to call it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Generator
from typing import Any

import httpx2
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from llink_ray.errors import JobFailed, LlinkError
from serve import access_log, exception_handlers, middleware, streaming, validation
from serve.admission import AdmissionController
from serve.backend import Overloaded
from serve.errors import ApiError
from serve.keys import CALLER_KEY, KeyRing
from serve.protocol import ChatRequest, CompletionRequest, EmbeddingsRequest, TokenizeRequest
from serve.responses import ERRORS
from serve.service import ModelNotFound
from serve.settings import ServeSettings

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


def guarded_app(
    settings: ServeSettings | None = None,
    ring: KeyRing | None = None,
    send_id: bool = True,
    **admission: Any,
) -> FastAPI:
    """Echoes what it was asked, behind everything that the edge has."""
    settings, ring = settings or ServeSettings(), ring or KeyRing()
    controller = AdmissionController(settings.limits.in_flight, **admission)
    app = FastAPI(responses=ERRORS, redirect_slashes=False)
    middleware.install(app, settings, ring, send_id=send_id)
    exception_handlers.install(app)

    async def admitted(request: Request) -> AsyncIterator[None]:
        permit = controller.admit(request.scope[CALLER_KEY])
        try:
            yield
        finally:
            permit.release()

    @app.post("/v1/chat/completions", dependencies=[Depends(admitted)])
    async def chat(body: ChatRequest, request: Request) -> Any:
        validation.check_chat(body, settings.limits)
        access_log.add_fields(request.scope, prompt=body.turns[-1][1])
        return {"turns": body.turns}

    @app.post("/v1/completions", dependencies=[Depends(admitted)])
    async def complete(body: CompletionRequest) -> Any:
        validation.check_completion(body, settings.limits)
        return {"texts": body.texts}

    @app.post("/v1/embeddings")
    async def embed(body: EmbeddingsRequest) -> Any:
        validation.check_text_batch(body, settings.limits)
        return {"texts": body.texts}

    @app.post("/v1/tokenize")
    async def tokenize(body: TokenizeRequest) -> Any:
        validation.check_tokenize(body, settings.limits)
        return {"turns": body.turns}

    @app.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise raised(how)

    @app.get("/stream")
    async def stream(fail: bool = False) -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            yield streaming.encode_event({"text": "བོད"})
            await asyncio.sleep(0)
            if fail:
                raise RuntimeError("secret")
            yield streaming.DONE_EVENT

        return StreamingResponse(events(), media_type=streaming.MEDIA_TYPE, headers=streaming.HEADERS)

    app.state.admission = controller
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
        "model": ModelNotFound("there is no model 'x'"),
    }.get(how) or RuntimeError("secret")


def refusal(reply: httpx2.Response, status: int, param: str | None = None) -> dict[str, Any]:
    """The error, after checking what holds of every one."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.headers["x-request-id"]) >= 1
    payload = reply.json()
    assert set(payload) == {"error"} and set(payload["error"]) == {"message", "type", "param", "code"}
    assert payload["error"]["message"] and "\n" not in payload["error"]["message"]
    assert payload["error"]["param"] == param
    assert "Traceback" not in reply.text and "secret" not in reply.text
    error: dict[str, Any] = payload["error"]
    return error


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


def logged() -> Generator[list[dict[str, Any]], None, None]:
    """The lines that are written meanwhile."""
    lines = Lines()
    access_log.logger.addHandler(lines)
    try:
        yield lines.found
    finally:
        access_log.logger.removeHandler(lines)
