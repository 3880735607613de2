"""Exceptions to :class:`ApiError`: every failure leaves in OpenAI's shape, none with a traceback."""

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
from serve.field_types import CUSTOM_ERROR

if TYPE_CHECKING:
    from llink_ray.prompts.conversation import LanguageNotServed
    from llink_ray.text.zawgyi import NotUnicode

_log = logging.getLogger("llink_ray.serve")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PARAMETER_SOURCES = ("body", "query", "path", "header", "cookie")
_MESSAGES = {
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
    CUSTOM_ERROR: "{why}",
}
"""By pydantic's type of error: its own sentences are for programmers."""
_OTHER_MESSAGE = "is not what is read here: GET /openapi.json says what is"


def install(app: FastAPI) -> None:
    """Have every exception answered in OpenAI's shape."""
    for kind in _converters():
        app.add_exception_handler(kind, _handle)


async def _handle(_request: Request, error: Exception) -> Response:
    return to_api_error(error).response


def to_api_error(error: Exception, log: bool = True) -> ApiError:
    """What the client is told of an exception. Unexpected ones are logged unless ``log`` is false."""
    converters = _converters()
    for kind in type(error).__mro__:
        if kind in converters:
            return converters[kind](error)
    return internal_error(error) if log else ApiError.internal()


@cache
def _converters() -> Mapping[type, Callable[[Any], ApiError]]:
    """By class; derived classes are included, as in ``except``."""
    from llink_ray.engine.types import QueueFull
    from llink_ray.prompts.conversation import LanguageNotServed
    from serve.backend import Overloaded, ReplicaLost
    from serve.service import ModelNotFound

    return {
        ApiError: lambda error: error,
        RequestValidationError: lambda error: _from_validation(error.errors()),
        HTTPException: _from_http,
        ModelNotFound: lambda error: ApiError(404, str(error), param="model", code="model_not_found"),
        LanguageNotServed: lambda error: ApiError(422, str(error), param="messages"),
        QueueFull: lambda error: ApiError(429, str(error)),
        Overloaded: lambda error: ApiError(503, str(error)),
        ReplicaLost: lambda error: ApiError(503, str(error)),
        JobFailed: _unavailable,
        TooLong: lambda error: ApiError(400, str(error), code="context_length_exceeded"),
        LlinkError: lambda error: ApiError(400, without_paths(str(error))),
    }


def _unavailable(error: JobFailed) -> ApiError:
    """A part that the service depends on, such as the registry, is unavailable."""
    _log.warning("request %s: %s", request_id(), error)
    return ApiError(503, "a part of the service is away: ask again in a moment")


def internal_error(error: Exception) -> ApiError:
    """A defect: the log gets everything, the client nothing."""
    _log.error("request %s failed: %s", request_id(), type(error).__name__, exc_info=error)
    return ApiError.internal()


def with_param(error: LanguageNotServed | TooLong | NotUnicode, field_name: Callable[[int], str]) -> ApiError:
    """An error about one text of several, with the name that ``field_name`` gives to its index."""
    api_error = to_api_error(error)
    if error.index is not None:
        api_error.param = field_name(error.index)
        api_error.message = f"{api_error.param}: {api_error.message}"
    return api_error


def _from_http(error: HTTPException) -> ApiError:
    """What the framework refuses: unknown paths, wrong methods, bodies that are not JSON."""
    status, message = error.status_code, str(error.detail)
    if status == 404:
        return ApiError.not_found()
    if status == 405:
        message = "this path does not take this method: GET /openapi.json lists what it takes"
    elif status == 400 and "parsing the body" in message:
        message = "the body cannot be read as JSON in UTF-8: look at what is sent"
    return ApiError(status, message, headers=error.headers)


def _from_validation(errors: Sequence[Any]) -> ApiError:
    """The first error of a request; what was sent is not repeated."""
    error = errors[0]
    if error["type"] == "json_invalid":
        position = (*error["loc"], None)[1]
        why = error.get("ctx", {}).get("error", "it breaks off")
        return ApiError(400, f"the body is not JSON ({why}, at character {position}): look at it there")
    name = _field_name(error["loc"])
    if not name and error["type"] in ("missing", "model_attributes_type", "model_type"):
        return ApiError(
            400, "the body has to be a JSON object, with content-type: application/json: send one"
        )
    message = _MESSAGES.get(error["type"], _OTHER_MESSAGE).format_map(error.get("ctx", {}))
    return ApiError(400, f"{name or 'the body'} {message}", param=name or None)


def _field_name(location: Sequence[str | int]) -> str:
    """``messages[2].content``; parts that do not look like field names are the client's and left out."""
    name = ""
    for part in location[1:] if location and location[0] in _PARAMETER_SOURCES else location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif _FIELD_NAME.fullmatch(part):
            name += f".{part}" if name else part
    return name
