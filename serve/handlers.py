"""Exceptions become :class:`ApiError`: nothing leaves in another shape, and no traceback at all."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from llink_ray.errors import JobFailed, LlinkError, TooLong
from serve.errors import ApiError
from serve.logs import request_id

_log = logging.getLogger("llink_ray.serve")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SOURCES = ("body", "query", "path", "header", "cookie")
_SAYS = {
    "missing": " is missing: give it",
    "string_type": " has to be text",
    "int_type": " has to be a whole number",
    "float_type": " has to be a number",
    "finite_number": " has to be a number, and not infinity",
    "bool_type": " has to be true or false",
    "list_type": " has to be a list",
    "model_type": " has to be an object",
    "model_attributes_type": " has to be an object",
    "extra_forbidden": " is not known here: leave it out",
    "too_short": " is empty: give at least one",
}
"""What is wrong, by pydantic's name of it, where its own sentence is for programmers."""
_CONTINUES = frozenset({"unsupported", "empty", "both"})
"""Our own sentences that go on after the field's name."""
_STATUS = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}
Translation = Mapping[type[Exception], Callable[[Any], ApiError]]


def install(app: FastAPI) -> None:
    """Have every exception answered in OpenAI's shape."""
    for kind in _known():
        app.add_exception_handler(kind, _handle)


def translated(error: Exception, quietly: bool = False) -> ApiError:
    """What the caller is told of an exception; ``quietly`` leaves the log alone."""
    known = _known()
    told = next((known[kind](error) for kind in type(error).__mro__ if kind in known), None)
    if told is not None:
        return told
    return ApiError.internal() if quietly else unexpected(error)


@cache
def _known() -> Translation:
    """A class stands for those derived from it, as in ``except``; what is nowhere is unexpected."""
    from llink_ray.conversation import NotTaught
    from llink_ray.decoding.request import Full
    from serve.backend import Lost, Overloaded
    from serve.service import NoSuchModel

    return {
        ApiError: lambda error: error,
        RequestValidationError: lambda error: of_validation(error.errors()),
        HTTPException: of_http,
        NoSuchModel: lambda error: ApiError.model_not_found(str(error)),
        NotTaught: lambda error: ApiError.language_not_taught(str(error)),
        Full: lambda error: ApiError.rate_limited(str(error)),
        Overloaded: lambda error: ApiError.overloaded(str(error)),
        Lost: lambda error: ApiError.overloaded(str(error)),
        JobFailed: away,
        TooLong: lambda error: ApiError.too_long(str(error)),
        LlinkError: lambda error: ApiError.bad_request(str(error)),
    }


async def _handle(_request: Request, error: Exception) -> Response:
    return translated(error).response


def away(error: JobFailed) -> ApiError:
    """Something that the service stands on, such as the registry, is not there now."""
    _log.warning("request %s: %s", request_id(), error)
    return ApiError.overloaded("a part of the service is away: ask again in a moment")


def unexpected(error: Exception) -> ApiError:
    """Our own fault: told in the log with everything, and to the caller with nothing."""
    _log.error("request %s failed: %s", request_id(), type(error).__name__, exc_info=error)
    return ApiError.internal()


def of_http(error: HTTPException) -> ApiError:
    """What the framework itself refuses: no such path, another method, a body it cannot read."""
    told = {
        404: "nothing is served at this path: GET /openapi.json lists what is",
        405: "this path does not take this method: GET /openapi.json lists what it takes",
    }.get(error.status_code, str(error.detail))
    if error.status_code == 400 and "parsing the body" in told:
        told = "the body cannot be read as JSON in UTF-8: look at what is sent"
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    code = _STATUS.get(error.status_code)
    return ApiError(error.status_code, told, type=kind, code=code, headers=error.headers)


def of_validation(errors: Sequence[Any]) -> ApiError:
    """The first thing that is wrong with a request, in a sentence; what was sent is not repeated."""
    first = errors[0]
    if first["type"] == "json_invalid":
        _, place = (*first["loc"], None)[:2]
        why = first.get("ctx", {}).get("error", "it breaks off")
        return ApiError.bad_request(f"the body is not JSON ({why}, at character {place}): look at it there")
    where = dotted(first["loc"])
    if not where:
        if first["type"] in ("missing", "model_attributes_type", "model_type"):
            return ApiError.bad_request(
                "the body has to be a JSON object, with content-type: application/json: send one"
            )
        return ApiError.bad_request(_lower(first["msg"]))
    joint = " " if first["type"] in _CONTINUES else ": "
    said = _SAYS.get(first["type"]) or f"{joint}{_lower(first['msg'])}"
    return ApiError.bad_request(f"{where}{said}", param=where)


def dotted(place: Sequence[str | int]) -> str:
    """``messages[2].content``: only what looks like our own names, since keys come from the caller too."""
    found = ""
    for part in place[1:] if place and place[0] in _SOURCES else place:
        if isinstance(part, int):
            found += f"[{part}]"
        elif _NAME.fullmatch(part):
            found += f".{part}" if found else part
    return found


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
