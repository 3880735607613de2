"""Everything that goes wrong, in the one shape that OpenAI's clients read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


class ApiError(Exception):
    """What the caller is told: a status, a sentence, and codes for programs."""

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
        """As JSON; a sentence with half letters in it can still be sent."""
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": {key: value and whole(value) for key, value in told.items()}}

    @property
    def response(self) -> JSONResponse:
        """As it is sent."""
        return JSONResponse(self.body, self.status, headers=self.headers)

    @classmethod
    def bad_request(cls, message: str, param: str | None = None, code: str | None = None) -> ApiError:
        """400: wrong use."""
        return cls(400, message, param=param, code=code)

    @classmethod
    def too_long(cls, message: str, param: str | None = None) -> ApiError:
        """400: more than is read at once; the code is OpenAI's."""
        return cls(400, message, param=param, code="context_length_exceeded")

    @classmethod
    def unauthorized(cls, message: str, code: str = "invalid_api_key") -> ApiError:
        """401: no key, one nobody knows, or (``expired_api_key``) one that is over."""
        return cls(
            401, message, type="authentication_error", code=code, headers={"www-authenticate": "Bearer"}
        )

    @classmethod
    def forbidden(cls, message: str) -> ApiError:
        """403: not with this key."""
        return cls(403, message, type="permission_error", code="permission_denied")

    @classmethod
    def nothing_here(cls) -> ApiError:
        """404: no such path."""
        return cls(404, "nothing is served at this path: GET /openapi.json lists what is", code="not_found")

    @classmethod
    def model_not_found(cls, message: str) -> ApiError:
        """404: no such model."""
        return cls(404, message, param="model", code="model_not_found")

    @classmethod
    def too_slow(cls, seconds: float) -> ApiError:
        """408: the body; what else comes on its connection is not waited for."""
        return cls(
            408,
            f"the body did not come within {seconds:g} seconds: send it faster, or less of it",
            code="request_timeout",
            headers={"connection": "close"},
        )

    @classmethod
    def too_large(cls, most: int) -> ApiError:
        """413: the body."""
        return cls(413, f"the body is larger than {most} bytes: send less", code="request_too_large")

    @classmethod
    def not_unpacked(cls) -> ApiError:
        """415: a content encoding that nobody reads here."""
        return cls(
            415,
            "the body is packed in a way that is not read here: send it as gzip or as it is",
            code="unsupported_media_type",
            headers={"accept-encoding": "gzip"},
        )

    @classmethod
    def language_not_taught(cls, message: str, param: str | None = "messages") -> ApiError:
        """422: text in a language that has no bundle."""
        return cls(422, message, param=param, code="language_not_taught")

    @classmethod
    def rate_limited(cls, message: str, retry_after: float = 1.0) -> ApiError:
        """429: later."""
        return cls(
            429, message, type="rate_limit_error", code="rate_limit_exceeded", headers=_after(retry_after)
        )

    @classmethod
    def overloaded(cls, message: str, retry_after: float = 1.0) -> ApiError:
        """503: too much is asked of all of it, or a part is away."""
        return cls(503, message, type="server_error", code="overloaded", headers=_after(retry_after))

    @classmethod
    def stopping(cls) -> ApiError:
        """503: the service was told to stop."""
        return cls(
            503,
            "the service is stopping: ask again in a moment",
            type="server_error",
            code="stopping",
            headers=_after(5.0),
        )

    @classmethod
    def deadline(cls, seconds: float) -> ApiError:
        """504: it took too long."""
        return cls(
            504,
            f"the answer was not done in {seconds:g} seconds: ask for fewer tokens, or again later",
            type="server_error",
            code="deadline_exceeded",
        )

    @classmethod
    def internal(cls) -> ApiError:
        """500: our fault; what it was stands in the log alone."""
        return cls(500, "internal error: it is in the log under this request's id", type="server_error")


def _after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(seconds)))}


def whole(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which UTF-8 cannot write."""
    return text.encode("utf-8", "replace").decode("utf-8")
