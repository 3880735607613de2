"""Request bodies: read before the application runs, within bounds of size and time, and unpacked."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError

_METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
_BODY_HEADERS = frozenset({b"content-length", b"content-encoding", b"transfer-encoding"})
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW = 31
"""For zlib: the gzip format, with its largest window."""


class BodyMiddleware:
    """Hands the application a whole body, or answers in its place: 408, 413, 415."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        """``max_bytes`` holds packed and unpacked; the body has to come within ``seconds``."""
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _METHODS_WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except ApiError as error:
            await error.response(scope, receive, send)
            return
        if body is None:  # the client disconnected
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _BODY_HEADERS]
        scope["headers"] = [*headers, (b"content-length", str(len(body)).encode())]
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        is_gzip = _is_gzip(headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._max_bytes):
            raise _too_large(self._max_bytes)
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._max_bytes:
                        raise _too_large(self._max_bytes)
        except TimeoutError:
            raise ApiError(
                408,
                f"the body did not come within {self._seconds:g} seconds: send it faster, or less of it",
                headers={"connection": "close"},
            ) from None
        return gunzip(bytes(body), self._max_bytes) if is_gzip else bytes(body)


def _is_gzip(headers: Headers) -> bool:
    """Whether the body is packed.

    Raises:
        ApiError: 415 for another encoding than gzip.
    """
    names = [part.strip() for part in ",".join(headers.getlist("content-encoding")).lower().split(",")]
    encodings = [name for name in names if name not in ("", "identity")]
    if encodings and (len(encodings) > 1 or encodings[0] not in _GZIP):
        raise ApiError(
            415,
            "the body is packed in a way that is not read here: send it as gzip or as it is",
            headers={"accept-encoding": "gzip"},
        )
    return bool(encodings)


def gunzip(packed: bytes, max_bytes: int) -> bytes:
    """The content of a gzip body; unpacking stops at ``max_bytes``.

    Raises:
        ApiError: 413 where there is more, 400 where it is not gzip.
    """
    content = bytearray()
    try:
        while packed:
            member = zlib.decompressobj(_GZIP_WINDOW)
            content += member.decompress(packed, max_bytes + 1 - len(content))
            if len(content) > max_bytes:
                raise _too_large(max_bytes)
            if not member.eof:
                raise ApiError(400, "the gzip body breaks off: send all of it")
            packed = member.unused_data
    except zlib.error:
        raise ApiError(
            400, "the body is not gzip, which its content-encoding says: pack it, or leave the header out"
        ) from None
    return bytes(content)


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(413, f"the body is larger than {max_bytes} bytes: send less")
