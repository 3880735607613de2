"""Failures of the API as one exception whose sentence says what a person can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import openai

Kind = Literal["unreachable", "key", "untrained_language", "too_long", "busy", "interrupted", "refused"]
_TRAIN_COMMAND = re.compile(r"--lang=([A-Za-z0-9_-]+)")
_MAX_CHARACTERS = 2_000
"""Of a server's message that are shown."""


class ApiError(Exception):
    """What the API could not do; the text is shown on the page."""

    def __init__(
        self,
        message: str,
        kind: Kind = "refused",
        retry_after: float | None = None,
        language: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        """Seconds."""
        self.language = language
        """Code of the language that is not served."""


class ErrorTranslator:
    """Turns exceptions of the client into :class:`ApiError`; none of them contains the key."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url, self._key = url, key

    def translate(self, error: openai.OpenAIError | ValueError, started: bool = False) -> ApiError:
        """``started``: part of the answer had arrived."""
        if isinstance(error, openai.APIStatusError):
            return self._status_error(error)
        if isinstance(error, openai.APITimeoutError):
            if started:
                return self.interrupted("has said nothing for too long")
            return self._unreachable("does not answer")
        if isinstance(error, openai.APIConnectionError):
            return self.interrupted("is gone") if started else self._unreachable("cannot be reached")
        if isinstance(error, openai.APIError) and isinstance(error.body, Mapping):  # an event of the stream
            busy = error.body.get("code") in ("rate_limit_exceeded", "overloaded")
            message = f"{self._without_key(error.message)}; what had arrived is kept: press Retry"
            return ApiError(message, "busy" if busy else "interrupted")
        return self.not_understood()

    def interrupted(self, what: str) -> ApiError:
        """The answer stopped in the middle."""
        return ApiError(
            f"the API at {self._url} {what}; what had arrived is kept: press Retry", "interrupted"
        )

    def not_understood(self) -> ApiError:
        """The reply is not that of an llink service."""
        return ApiError(
            f"what {self._url} answers is not what this chat understands: is it the llink service "
            "(make serve), and is the address whole?"
        )

    def _unreachable(self, what: str) -> ApiError:
        return ApiError(
            f"the API at {self._url} {what}: start it (make serve), or name another with --api, "
            "then press Retry",
            "unreachable",
        )

    def _status_error(self, error: openai.APIStatusError) -> ApiError:
        body = error.body if isinstance(error.body, Mapping) else {}
        text, code, status = body.get("message"), body.get("code"), error.status_code
        message = self._without_key(text) if isinstance(text, str) and text.strip() else ""
        if status == 401:
            return self._unauthorized(code)
        if status in (502, 503, 504) and not message:  # from a proxy in front of the service
            return self._unreachable(f"is away (status {status})")
        if not message:
            return (
                ApiError(f"the API at {self._url} failed ({status})")
                if status >= 500
                else self.not_understood()
            )
        if status in (429, 503):
            return self._busy(message, error)
        command = _TRAIN_COMMAND.search(message)
        if code == "language_not_taught" or (status == 404 and command):
            return ApiError(message, "untrained_language", language=command[1] if command else None)
        if status == 413 or code == "context_length_exceeded":
            return ApiError(message, "too_long")
        return ApiError(message, "interrupted" if status == 504 else "refused")

    def _unauthorized(self, code: Any) -> ApiError:
        reason = "the key of this chat has expired" if code == "expired_api_key" else "it knows no such key"
        if self._key is None:
            reason = "it wants a key, and this chat has none"
        return ApiError(
            f"the API at {self._url} does not let this chat in: {reason}. Whoever runs the chat puts a valid "
            "key in the variable LLINK_API_KEY or in key_file, and starts it again",
            "key",
        )

    def _busy(self, message: str, error: openai.APIStatusError) -> ApiError:
        header = error.response.headers.get("retry-after", "")
        if not header.isdecimal() or len(header) >= 6:
            return ApiError(message, "busy")
        seconds = "1 second" if int(header) == 1 else f"{int(header)} seconds"
        return ApiError(f"{message.removesuffix(': wait')}: try again in {seconds}", "busy", float(header))

    def _without_key(self, text: str) -> str:
        """One line without the key, in case a server repeats it."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text[:_MAX_CHARACTERS].split())
