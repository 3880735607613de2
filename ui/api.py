"""The service over HTTP: what it offers, what a text is, and answers as they come."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai

from llink_ray.network import is_loopback
from ui.refusals import ApiError as ApiError
from ui.refusals import Refusals

_PREFIX = "/v1"
_CONNECT, _SHORT, _SILENCE = 5.0, 15.0, 90.0
"""Seconds to connect, for small questions, and between two pieces of an answer; the service ends it at 60."""
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Model:
    """Something that answers."""

    id: str
    owned_by: str
    language: str | None = None
    """Code; None for the base and for the model that finds the language."""
    name: str | None = None
    version: str | None = None
    parent: str | None = None
    max_sentences: int | None = None
    """Of one message that it reads at once."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    phrasebook: bool = False
    """Trained on the embedded phrasebook alone: it knows no other words."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text in one language."""

    start: int
    """In characters."""
    end: int
    code: str | None
    name: str | None
    own_name: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of a conversation's prompt."""

    fed: int
    raw: int
    """With the text itself instead of its slots."""
    sentences: int


@dataclass(frozen=True, slots=True)
class Delta:
    """More of an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An answer's end."""

    text: str
    """All of it."""
    finish_reason: str
    usage: dict[str, Any]
    llink: dict[str, Any]
    """How the request was understood: the service's own extension."""
    first_token: float
    """Seconds from the question to the first words."""
    tokens_per_second: float
    """From the question to the last word: pieces come in bursts, so a part of it would say little."""


class Api:
    """One service; for one event loop. ``key`` is in no message and no log."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """``url`` with or without ``/v1`` at its end; nothing is asked yet."""
        self.url = url.rstrip("/").removesuffix(_PREFIX)
        self._key = key
        self._refusals = Refusals(self.url, key)

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        # A proxy of the environment is for other machines.
        alone = is_loopback(urlsplit(self.url).hostname or "")
        return openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=f"{self.url}{_PREFIX}",
            max_retries=0,  # a person sees what is wrong, and has a button
            timeout=httpx2.Timeout(_SHORT, connect=_CONNECT),
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not alone),
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def models(self) -> list[Model]:
        """What answers now.

        Raises:
            ApiError: as all that follow.
        """
        told = await self._asked(self._client.get("/models", cast_to=object))
        return self._made(lambda: [_model(one) for one in told["data"]])

    async def detect(self, text: str) -> list[Span]:
        """The languages of a text, stretch by stretch."""
        told = await self._asked(self._client.post("/detect", cast_to=object, body={"input": [text]}))
        return self._made(lambda: [_span(one) for one in told["data"][0]["spans"]])

    async def tokenize(self, messages: Sequence[Mapping[str, str]], model: str) -> Cost:
        """What a conversation costs; refuses what ``chat`` would refuse."""
        body = {"model": model, "messages": list(messages)}
        told = await self._asked(self._client.post("/tokenize", cast_to=object, body=body))
        return self._made(
            lambda: Cost(
                int(told["prompt_tokens"]), int(told["prompt_tokens_raw"]), int(told["llink"]["sentences"])
            )
        )

    async def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        model: str,
        *,
        max_tokens: int | None = None,
        grounding: bool = False,
    ) -> AsyncGenerator[Delta | Done, None]:
        """The answer as it comes, ``Done`` last; closing this ends the request, which the service notices."""
        body: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "llink": {"grounding": grounding},
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        answer = _Answer()
        async with aclosing(self._events(body, answer)) as events:
            async for event in events:
                piece = self._made(lambda event=event: answer.take(event))  # type: ignore[misc]
                if piece:
                    yield Delta(piece)
        if answer.finish_reason is None:
            cut = self._refusals.broken("ended its answer in the middle")
            raise cut if answer.begun else self._refusals.strange()
        yield answer.done

    async def _events(self, body: dict[str, Any], answer: _Answer) -> AsyncGenerator[Any, None]:
        try:
            patient = self._client.with_options(timeout=httpx2.Timeout(_SILENCE, connect=_CONNECT))
            stream = await patient.post(
                "/chat/completions",
                cast_to=object,
                body=body,
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
            async with stream:
                async for event in stream:
                    yield event
        except (openai.OpenAIError, ValueError) as error:
            raise self._refusals.of(error, answer.begun) from None

    async def _asked(self, question: Any) -> Any:
        try:
            return await question
        except (openai.OpenAIError, ValueError) as error:
            raise self._refusals.of(error) from None

    def _made(self, make: Callable[[], Made]) -> Made:
        """What another program said, taken apart."""
        try:
            return make()
        except (LookupError, TypeError, ValueError, AttributeError):
            raise self._refusals.strange() from None


class _Answer:
    """An answer while it comes."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._asked = time.monotonic()
        self._first = self._last = 0.0
        self._text = list[str]()
        self._usage: dict[str, Any] = {}
        self._llink: dict[str, Any] = {}

    @property
    def begun(self) -> bool:
        """Whether words of it are here."""
        return bool(self._text)

    def take(self, event: Any) -> str:
        """One event of the stream; its words."""
        self._usage = dict(event.get("usage") or self._usage)
        self._llink = dict(event.get("llink") or self._llink)
        piece = ""
        for choice in event["choices"]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            piece += (choice.get("delta") or {}).get("content") or ""
        if piece:
            self._last = time.monotonic()
            self._first = self._first or self._last
            self._text.append(piece)
        return piece

    @property
    def done(self) -> Done:
        """The whole, with its times; an answer without words took as long as it took."""
        made = int(self._usage.get("completion_tokens") or 0)
        first, last = (self._first, self._last) if self._text else (time.monotonic(), time.monotonic())
        return Done(
            text="".join(self._text),
            finish_reason=self.finish_reason or "",
            usage=self._usage,
            llink=self._llink,
            first_token=first - self._asked,
            tokens_per_second=made / max(last - self._asked, 1e-6),
        )


def _model(told: Mapping[str, Any]) -> Model:
    ours = told.get("llink") or {}
    return Model(
        id=str(told["id"]),
        owned_by=str(told.get("owned_by") or ""),
        language=ours.get("language"),
        name=ours.get("name"),
        version=ours.get("version"),
        parent=told.get("parent"),
        max_sentences=ours.get("max_sentences"),
        metrics=dict(ours.get("metrics") or {}),
        phrasebook=ours.get("corpus") == "phrasebook",
    )


def _span(told: Mapping[str, Any]) -> Span:
    return Span(
        start=int(told["start"]),
        end=int(told["end"]),
        code=told.get("language"),
        name=told.get("name"),
        own_name=told.get("own_name"),
        confidence=float(told.get("confidence") or 0.0),
    )
