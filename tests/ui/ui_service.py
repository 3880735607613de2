"""The real service in this process, and one that says what a test wants, for tests without a browser."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ui.api_client import ApiClient

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS / "serve")]

from listening import listening  # noqa: E402
from serve_zoo import BO, Running, teach, up  # noqa: E402
from steered_engine import paced  # noqa: E402

from llink_ray.bundles.registry import Registry  # noqa: E402

__all__ = ["BO", "Running", "asked", "paced", "scripted", "service"]
KEY = "the-key-that-the-chat-has"
Made = TypeVar("Made")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Tibetan, behind a key."""
    folder = tmp_path_factory.mktemp("service")
    teach(folder / "bo", "bo")
    Registry(folder / "registry").publish(folder / "bo")
    keys = folder / "keys.yaml"
    keys.write_text(
        f"- {{name: chat, key: {KEY}}}\n- {{name: seldom, key: {KEY}-2, requests_per_minute: 1}}\n"
    )
    keys.chmod(0o600)
    with up(folder / "registry", f"keys.file={keys}", "limits.characters=2000") as running:
        yield running


def asked(url: str, ask: Callable[[ApiClient], Awaitable[Made]], key: str | None = KEY) -> Made:
    """What comes of asking once."""

    async def once() -> Made:
        api = ApiClient(url, key)
        try:
            return await ask(api)
        finally:
            await api.close()

    return asyncio.run(once())


Reply = Response | Callable[[], AsyncIterator[bytes]]


@contextmanager
def scripted(reply: Reply) -> Iterator[str]:
    """A service that answers everything so."""

    async def answer(_: Request) -> Response:
        if isinstance(reply, Response):
            return reply
        return StreamingResponse(reply(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with listening(app, log_level="critical") as url:
        yield url


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Response:
    """As the service refuses."""
    body: dict[str, Any] = {"error": {"message": message, "type": "x", "param": None, "code": code}}
    return JSONResponse(
        body, status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
