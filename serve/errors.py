"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {
    401: "invalid_api_key",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    422: "language_not_taught",
    429: "rate_limit_exceeded",
    503: "overloaded",
    504: "deadline_exceeded",
}
_RETRY_STATUSES = (429, 503)


class ApiError(Exception):
    """A response that refuses or fails: an HTTP status, a sentence for the person, codes for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float = 1.0,
    ) -> None:
        """``code`` has a default for most statuses; ``retry_after`` (seconds) is for 429 and 503."""
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.type = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.code = code or _CODES.get(status)
        self.headers = dict(headers or {})
        if status == 401:
            self.headers["www-authenticate"] = "Bearer"
        if status in _RETRY_STATUSES:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after)))

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body; halves of surrogate pairs, which UTF-8 cannot write, become question marks."""
        fields = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": {k: v and v.encode("utf-8", "replace").decode() for k, v in fields.items()}}

    @property
    def response(self) -> JSONResponse:
        """The HTTP response."""
        return JSONResponse(self.body, self.status, headers=self.headers)

    @classmethod
    def not_found(cls) -> ApiError:
        """404: no such path."""
        return cls(404, "nothing is served at this path: GET /openapi.json lists what is")

    @classmethod
    def stopping(cls) -> ApiError:
        """503: the service shuts down."""
        message = "the service is stopping: ask again in a moment"
        return cls(503, message, code="stopping", retry_after=5.0)

    @classmethod
    def deadline(cls, seconds: float) -> ApiError:
        """504: the request's deadline."""
        return cls(
            504, f"the answer was not done in {seconds:g} seconds: ask for fewer tokens, or again later"
        )

    @classmethod
    def internal(cls) -> ApiError:
        """500: a defect; details are in the log only."""
        return cls(500, "internal error: it is in the log under this request's id")
