"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


class ApiError(Exception):
    """An HTTP status, a sentence for the person, and codes for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type, self.code, self.param = status, message, type, code, param
        self.headers = dict(headers or {})

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
    def bad_request(cls, message: str, param: str | None = None, code: str | None = None) -> ApiError:
        """400: an invalid request."""
        return cls(400, message, param=param, code=code)

    @classmethod
    def too_long(cls, message: str, param: str | None = None) -> ApiError:
        """400: more than a limit; the code is OpenAI's."""
        return cls(400, message, param=param, code="context_length_exceeded")

    @classmethod
    def unauthorized(cls, message: str, code: str = "invalid_api_key") -> ApiError:
        """401: no key, an unknown or (``expired_api_key``) an expired one."""
        return cls(
            401, message, type="authentication_error", code=code, headers={"www-authenticate": "Bearer"}
        )

    @classmethod
    def forbidden(cls, message: str) -> ApiError:
        """403: this key does not allow it."""
        return cls(403, message, type="permission_error", code="permission_denied")

    @classmethod
    def not_found(cls) -> ApiError:
        """404: no such path."""
        return cls(404, "nothing is served at this path: GET /openapi.json lists what is", code="not_found")

    @classmethod
    def model_not_found(cls, message: str) -> ApiError:
        """404: no such model."""
        return cls(404, message, param="model", code="model_not_found")

    @classmethod
    def too_slow(cls, seconds: float) -> ApiError:
        """408: the body took too long; the connection is closed."""
        return cls(
            408,
            f"the body did not come within {seconds:g} seconds: send it faster, or less of it",
            code="request_timeout",
            headers={"connection": "close"},
        )

    @classmethod
    def too_large(cls, max_bytes: int) -> ApiError:
        """413: the body."""
        return cls(413, f"the body is larger than {max_bytes} bytes: send less", code="request_too_large")

    @classmethod
    def unsupported_encoding(cls) -> ApiError:
        """415: a content encoding other than gzip."""
        return cls(
            415,
            "the body is packed in a way that is not read here: send it as gzip or as it is",
            code="unsupported_media_type",
            headers={"accept-encoding": "gzip"},
        )

    @classmethod
    def language_not_served(cls, message: str, param: str | None = "messages") -> ApiError:
        """422: text in a language that has no bundle."""
        return cls(422, message, param=param, code="language_not_taught")

    @classmethod
    def rate_limited(cls, message: str, retry_after: float = 1.0) -> ApiError:
        """429: a limit of the key, or a full queue."""
        return cls(
            429, message, type="rate_limit_error", code="rate_limit_exceeded", headers=_retry(retry_after)
        )

    @classmethod
    def overloaded(cls, message: str, retry_after: float = 1.0) -> ApiError:
        """503: the whole service is at its limit, or a part of it is unavailable."""
        return cls(503, message, type="server_error", code="overloaded", headers=_retry(retry_after))

    @classmethod
    def stopping(cls) -> ApiError:
        """503: the service shuts down."""
        return cls(
            503,
            "the service is stopping: ask again in a moment",
            type="server_error",
            code="stopping",
            headers=_retry(5.0),
        )

    @classmethod
    def deadline(cls, seconds: float) -> ApiError:
        """504: the request's deadline."""
        return cls(
            504,
            f"the answer was not done in {seconds:g} seconds: ask for fewer tokens, or again later",
            type="server_error",
            code="deadline_exceeded",
        )

    @classmethod
    def internal(cls) -> ApiError:
        """500: a defect; details are in the log only."""
        return cls(500, "internal error: it is in the log under this request's id", type="server_error")


def _retry(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(seconds)))}
