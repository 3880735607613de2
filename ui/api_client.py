"""Client of the service's HTTP API: models, language detection and streamed answers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import AliasPath, BaseModel, Field

from llink_ray.network import is_loopback
from ui.api_errors import ApiError as ApiError
from ui.api_errors import ErrorTranslator

_PREFIX = "/v1"
_CONNECT_SECONDS, _REPLY_SECONDS = 5.0, 15.0
_STREAM_SECONDS = 90.0
"""Longest pause between two pieces of an answer; the service itself gives up after 60."""
T = TypeVar("T")


class Model(BaseModel):
    """An entry of ``/v1/models``."""

    id: str
    owned_by: str = ""
    language: str | None = Field(None, validation_alias=AliasPath("llink", "language"))
    """Code; None for the base model and for the model that detects the language."""
    name: str | None = Field(None, validation_alias=AliasPath("llink", "name"))
    version: str | None = Field(None, validation_alias=AliasPath("llink", "version"))
    max_sentences: int | None = Field(None, validation_alias=AliasPath("llink", "max_sentences"))
    """Most foreign sentences in one message."""
    corpus: str | None = Field(None, validation_alias=AliasPath("llink", "corpus"))

    @property
    def is_phrasebook(self) -> bool:
        """Whether it was trained on the embedded phrasebook alone and knows no other words."""
        return self.corpus == "phrasebook"


class LanguageSpan(BaseModel):
    """A stretch of a text in one language, from ``/v1/detect``; offsets are characters."""

    start: int
    end: int
    language: str | None = None
    name: str | None = None
    own_name: str | None = None
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    finish_reason: str
    usage: dict[str, Any]
    llink: dict[str, Any]
    """The service's extension: how the request was read."""
    first_token: float
    """Seconds from the request to the first text."""
    tokens_per_second: float
    """From the request to the last text: pieces arrive in bursts, so a shorter interval means little."""


class ApiClient:
    """One service, for use in one event loop. The key appears in no message and no log."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """``url`` with or without ``/v1`` at its end; nothing is requested yet."""
        self.url = url.rstrip("/").removesuffix(_PREFIX)
        self._key = key
        self._errors = ErrorTranslator(self.url, key)

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        # A proxy of the environment does not serve this machine's own addresses.
        trust_env = not is_loopback(urlsplit(self.url).hostname or "")
        return openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=f"{self.url}{_PREFIX}",
            max_retries=0,  # the page shows the error and has a Retry button
            timeout=httpx2.Timeout(_REPLY_SECONDS, connect=_CONNECT_SECONDS),
            http_client=openai.DefaultAsyncHttpxClient(trust_env=trust_env),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def models(self) -> list[Model]:
        """The models that answer now.

        Raises:
            ApiError: as all methods that follow.
        """
        return await self._request(
            self._client.get("/models", cast_to=object),
            lambda reply: [Model.model_validate(entry) for entry in reply["data"]],
        )

    async def detect(self, text: str) -> list[LanguageSpan]:
        """The languages of a text, span by span."""
        return await self._request(
            self._client.post("/detect", cast_to=object, body={"input": [text]}),
            lambda reply: [LanguageSpan.model_validate(span) for span in reply["data"][0]["spans"]],
        )

    async def chat(
        self, messages: Sequence[Mapping[str, str]], model: str, *, grounding: bool = False
    ) -> AsyncGenerator[TextDelta | Completion, None]:
        """The answer as it arrives, a ``Completion`` last. Closing the generator cancels the request."""
        answer = _StreamedAnswer()
        try:
            stream = await self._client.post(
                "/chat/completions",
                cast_to=object,
                body={
                    "model": model,
                    "messages": list(messages),
                    "stream": True,
                    "stream_options": {"include_usage": True},
                    "llink": {"grounding": grounding},
                },
                options={"timeout": httpx2.Timeout(_STREAM_SECONDS, connect=_CONNECT_SECONDS)},
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
            async with stream:
                async for chunk in stream:
                    if text := self._parse(answer.add, chunk):
                        yield TextDelta(text)
        except (openai.OpenAIError, ValueError) as error:
            raise self._errors.translate(error, answer.started) from None
        if answer.finish_reason is None:
            if answer.started:
                raise self._errors.interrupted("ended its answer in the middle")
            raise self._errors.not_understood()
        yield answer.completion

    async def _request(self, request: Awaitable[Any], parse: Callable[[Any], T]) -> T:
        try:
            reply = await request
        except (openai.OpenAIError, ValueError) as error:
            raise self._errors.translate(error) from None
        return self._parse(parse, reply)

    def _parse(self, parse: Callable[[Any], T], reply: Any) -> T:
        try:
            return parse(reply)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise self._errors.not_understood() from None


class _StreamedAnswer:
    """Collects the chunks of one answer."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._started_at = time.monotonic()
        self._first_at = self._last_at = 0.0
        self._text = ""
        self._usage: dict[str, Any] = {}
        self._llink: dict[str, Any] = {}

    @property
    def started(self) -> bool:
        """Whether any text has arrived."""
        return bool(self._text)

    def add(self, chunk: Any) -> str:
        """Take one chunk; returns its text."""
        self._usage = dict(chunk.get("usage") or self._usage)
        self._llink = dict(chunk.get("llink") or self._llink)
        text = ""
        for choice in chunk["choices"]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            text += (choice.get("delta") or {}).get("content") or ""
        if text:
            self._last_at = time.monotonic()
            self._first_at = self._first_at or self._last_at
            self._text += text
        return text

    @property
    def completion(self) -> Completion:
        """The whole answer with its times; without text, both times are now."""
        tokens = int(self._usage.get("completion_tokens") or 0)
        first_at, last_at = (self._first_at, self._last_at) if self._text else (time.monotonic(),) * 2
        return Completion(
            text=self._text,
            finish_reason=self.finish_reason or "",
            usage=self._usage,
            llink=self._llink,
            first_token=first_at - self._started_at,
            tokens_per_second=tokens / max(last_at - self._started_at, 1e-6),
        )
