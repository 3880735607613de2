"""Bodies of requests: read before the application runs, within bounds of size and time, and unpacked."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError

_WITHOUT = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of whose bodies nothing is made."""
_ABOUT = frozenset({b"content-length", b"content-encoding", b"transfer-encoding"})
"""Headers that speak of the body as it came."""
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW = 31
"""For zlib: the gzip format, with its largest window."""


class BodyMiddleware:
    """Gives the application a body that is whole, or answers in its place: 408, 413, 415."""

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        """``most`` bytes, packed and unpacked, that come within so many seconds."""
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _WITHOUT:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except ApiError as error:
            await error.response(scope, receive, send)
            return
        if body is None:  # whoever sent it has hung up
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _ABOUT]
        headers.append((b"content-length", str(len(body)).encode()))
        scope["headers"] = headers
        await self._app(scope, _again(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        packing = _packing(headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._most):
            raise ApiError.too_large(self._most)
        found = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    found += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(found) > self._most:
                        raise ApiError.too_large(self._most)
        except TimeoutError:
            raise ApiError.too_slow(self._seconds) from None
        return unpacked(bytes(found), self._most) if packing else bytes(found)


def _packing(headers: Headers) -> bool:
    """Whether the body is packed.

    Raises:
        ApiError: 415, in a way that is not known here.
    """
    told = ",".join(headers.getlist("content-encoding")).lower()
    named = [one for part in told.split(",") if (one := part.strip()) not in ("", "identity")]
    if named and (len(named) > 1 or named[0] not in _GZIP):
        raise ApiError.not_unpacked()
    return bool(named)


def unpacked(packed: bytes, most: int) -> bytes:
    """What a gzip body holds; no more of it is unpacked than may be read.

    Raises:
        ApiError: 413 where that is more than ``most`` bytes, 400 where it is not gzip.
    """
    found = bytearray()
    try:
        while packed:
            member = zlib.decompressobj(_GZIP_WINDOW)
            found += member.decompress(packed, most + 1 - len(found))
            if len(found) > most:
                raise ApiError.too_large(most)
            if not member.eof:
                raise ApiError.bad_request("the gzip body breaks off: send all of it")
            packed = member.unused_data
    except zlib.error:
        raise ApiError.bad_request(
            "the body is not gzip, which its content-encoding says: pack it, or leave the header out"
        ) from None
    return bytes(found)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more; afterwards what comes, which is that the caller has gone."""
    told = False

    async def whole() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return whole
