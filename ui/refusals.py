"""Everything that can go wrong with the API, as one exception with a sentence that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import openai

Kind = Literal["down", "key", "untaught", "too_long", "busy", "broken", "refused"]
_TEACH = re.compile(r"--lang=([A-Za-z0-9_-]+)")
_LONGEST = 2_000
"""Letters of another program's sentence that are shown."""


class ApiError(Exception):
    """What the API could not do; the text is for the page."""

    def __init__(
        self, message: str, kind: Kind = "refused", wait: float | None = None, language: str | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait = wait
        """Seconds after which it is worth another try."""
        self.language = language
        """Code of the language that nobody taught."""


class Refusals:
    """Makes :class:`ApiError` of what the client raises; the key is in none of them."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url, self._key = url, key

    def of(self, error: openai.OpenAIError | ValueError, begun: bool = False) -> ApiError:
        """``begun``: the answer was on its way already."""
        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        if isinstance(error, openai.APITimeoutError):
            return self.broken("has said nothing for too long") if begun else self._down("does not answer")
        if isinstance(error, openai.APIConnectionError):
            return self.broken("is gone") if begun else self._down("cannot be reached")
        if isinstance(error, openai.APIError) and isinstance(error.body, Mapping):
            return self._told(str(error.message), error.body.get("code"))
        return self.strange()

    def broken(self, why: str) -> ApiError:
        """In the middle of an answer."""
        return ApiError(f"the API at {self._url} {why}; what had arrived is kept: press Retry", "broken")

    def strange(self) -> ApiError:
        """It speaks, but not as we do."""
        return ApiError(
            f"what {self._url} answers is not what this chat understands: is it the llink service "
            "(make serve), and is the address whole?"
        )

    def _down(self, why: str) -> ApiError:
        return ApiError(
            f"the API at {self._url} {why}: start it (make serve), or name another with --api, "
            "then press Retry",
            "down",
        )

    def _told(self, message: str, code: Any) -> ApiError:
        """An error event in mid-stream."""
        kind: Kind = "busy" if code in ("rate_limit_exceeded", "overloaded") else "broken"
        return ApiError(f"{self._clean(message)}; what had arrived is kept: press Retry", kind)

    def _status(self, error: openai.APIStatusError) -> ApiError:
        body = error.body if isinstance(error.body, Mapping) else {}
        told, code, status = body.get("message"), body.get("code"), error.status_code
        message = self._clean(told) if isinstance(told, str) and told.strip() else ""
        if status == 401:
            return self._unauthorized(code)
        if status in (502, 503, 504) and not message:  # a proxy in front speaks
            return self._down(f"is away (status {status})")
        if not message:
            return self.strange() if status < 500 else ApiError(f"the API at {self._url} failed ({status})")
        if status in (429, 503):
            return self._busy(message, error)
        if code == "language_not_taught" or (status == 404 and _TEACH.search(message)):
            found = _TEACH.search(message)
            return ApiError(message, "untaught", language=found[1] if found else None)
        if status == 413 or code == "context_length_exceeded":
            return ApiError(message, "too_long")
        if status == 504:
            return ApiError(message, "broken")
        return ApiError(message)

    def _unauthorized(self, code: Any) -> ApiError:
        wrong = "the key of this chat has expired" if code == "expired_api_key" else "it knows no such key"
        if self._key is None:
            wrong = "it wants a key, and this chat has none"
        return ApiError(
            f"the API at {self._url} does not let this chat in: {wrong}. Whoever runs the chat puts a valid "
            "key in the variable LLINK_API_KEY or in key_file, and starts it again",
            "key",
        )

    def _busy(self, message: str, error: openai.APIStatusError) -> ApiError:
        after = error.response.headers.get("retry-after", "")
        wait = float(after) if after.isdecimal() and len(after) < 6 else None
        if wait is None:
            return ApiError(message, "busy")
        seconds = "1 second" if wait == 1 else f"{wait:.0f} seconds"
        return ApiError(f"{message.removesuffix(': wait')}: try again in {seconds}", "busy", wait)

    def _clean(self, text: str) -> str:
        """Without the key, should a server repeat it."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text[:_LONGEST].split())
