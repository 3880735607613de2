"""Exceptions become :class:`ApiError`: nothing leaves in another shape, and no traceback at all."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from llink_ray.errors import JobFailed, LlinkError, TooLong
from llink_ray.storage.redact import without_paths
from serve.access_log import request_id
from serve.errors import ApiError
from serve.field_types import OWN

if TYPE_CHECKING:
    from llink_ray.prompts.conversation import LanguageNotServed
    from llink_ray.text.zawgyi import NotUnicode

_log = logging.getLogger("llink_ray.serve")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SOURCES = ("body", "query", "path", "header", "cookie")
_SAYS = {
    "missing": "is missing: give it",
    "string_type": "has to be text",
    "string_unicode": "has to be text",
    "string_too_short": "is empty: give it",
    "string_too_long": "has more than {max_length} characters: give a shorter one",
    "int_type": "has to be a whole number",
    "int_from_float": "has to be a whole number",
    "int_parsing_size": "has to be a smaller number",
    "float_type": "has to be a number",
    "finite_number": "has to be a number, and not infinity",
    "bool_type": "has to be true or false",
    "list_type": "has to be a list",
    "dict_type": "has to be an object",
    "model_type": "has to be an object",
    "model_attributes_type": "has to be an object",
    "extra_forbidden": "is not known here: leave it out",
    "too_short": "is empty: give at least one",
    "literal_error": "has to be {expected}",
    "greater_than": "has to be above {gt}",
    "greater_than_equal": "has to be {ge} or more",
    "less_than": "has to be below {lt}",
    "less_than_equal": "has to be {le} or less",
    OWN: "{why}",
}
"""What is wrong, by pydantic's name of it: its own sentences are for programmers."""
_ELSE = "is not what is read here: GET /openapi.json says what is"
_STATUS = {405: "method_not_allowed", 415: "unsupported_media_type"}
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
    from llink_ray.engine.types import QueueFull
    from llink_ray.prompts.conversation import LanguageNotServed
    from serve.backend import Lost, Overloaded
    from serve.service import NoSuchModel

    return {
        ApiError: lambda error: error,
        RequestValidationError: lambda error: of_validation(error.errors()),
        HTTPException: of_http,
        NoSuchModel: lambda error: ApiError.model_not_found(str(error)),
        LanguageNotServed: lambda error: ApiError.language_not_taught(str(error)),
        QueueFull: lambda error: ApiError.rate_limited(str(error)),
        Overloaded: lambda error: ApiError.overloaded(str(error)),
        Lost: lambda error: ApiError.overloaded(str(error)),
        JobFailed: away,
        TooLong: lambda error: ApiError.too_long(str(error)),
        LlinkError: lambda error: ApiError.bad_request(without_paths(str(error))),
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


def placed(error: LanguageNotServed | TooLong | NotUnicode, where: Callable[[int], str]) -> ApiError:
    """What is wrong with one text of several, by the name that ``where`` gives it."""
    told = translated(error)
    if error.index is not None:
        told.param = where(error.index)
        told.message = f"{told.param}: {told.message}"
    return told


def of_http(error: HTTPException) -> ApiError:
    """What the framework itself refuses: no such path, another method, a body it cannot read."""
    if error.status_code == 404:
        return ApiError.nothing_here()
    told = {
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
        return ApiError.bad_request(f"the body {_said(first)}")
    return ApiError.bad_request(f"{where} {_said(first)}", param=where)


def _said(error: Mapping[str, Any]) -> str:
    """What is wrong with a field, behind its name; bounds and choices are ours and may be told."""
    return _SAYS.get(error["type"], _ELSE).format_map(error.get("ctx", {}))


def dotted(place: Sequence[str | int]) -> str:
    """``messages[2].content``: only what looks like our own names, since keys come from the caller too."""
    found = ""
    for part in place[1:] if place and place[0] in _SOURCES else place:
        if isinstance(part, int):
            found += f"[{part}]"
        elif _NAME.fullmatch(part):
            found += f".{part}" if found else part
    return found
