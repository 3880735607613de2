"""Answers in the shapes of OpenAI's two endpoints, whole and as chunks of a stream."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import isfinite, isnan
from typing import Any, Protocol

from pydantic import BaseModel

from llink_ray.engine import Answer, FinishInfo, StreamEvent, TokenLogprob
from llink_ray.engine.vocabulary import character_starts
from serve import responses
from serve.access_log import request_id
from serve.metadata import ResponseMetadata

LOWEST_LOGPROB = -9_999.0
"""Stands for minus infinity, which JSON lacks; OpenAI's own figure."""
Answers = Sequence[tuple[Answer, ResponseMetadata]]


class ResponseFormatter(Protocol):
    """The response bodies of one endpoint."""

    def response(self, answers: Answers) -> BaseModel:
        """All answers at once, each as a choice."""

    def first_chunk(self) -> BaseModel | None:
        """Sent before the first text."""

    def chunk(self, event: StreamEvent, index: int) -> BaseModel | None:
        """New text of a choice; None where the event has none."""

    def last_chunk(self, done: FinishInfo, metadata: ResponseMetadata, index: int) -> BaseModel:
        """Why a choice ended, and its metadata."""

    def usage_chunk(self, done: Sequence[FinishInfo]) -> BaseModel:
        """Usage of all choices together."""


def finite(logprob: float) -> float:
    """A log-probability that JSON can write."""
    return logprob if isfinite(logprob) else LOWEST_LOGPROB


def _usage(done: Sequence[FinishInfo]) -> responses.Usage:
    return responses.Usage.build(
        sum(each.usage.prompt_tokens for each in done), sum(each.usage.completion_tokens for each in done)
    )


def _finish_reason(done: FinishInfo) -> responses.FinishReason:
    return "length" if done.reason == "length" else "stop"


class _Formatter:
    """Fields that are equal in all bodies of a response."""

    _prefix: str

    def __init__(self, model: str, logprobs: bool) -> None:
        self._common: dict[str, Any] = {
            "id": f"{self._prefix}-{request_id()}",
            "created": int(time.time()),
            "model": model,
        }
        self._with_logprobs = logprobs

    def _has_content(self, event: StreamEvent) -> bool:
        return bool(event.text or (self._with_logprobs and event.tokens))


class ChatFormatter(_Formatter):
    """``/v1/chat/completions``."""

    _prefix = "chatcmpl"

    def response(self, answers: Answers) -> responses.ChatCompletion:
        ((answer, metadata),) = answers
        choice = responses.ChatChoice(
            message=responses.AssistantMessage(content=answer.text),
            logprobs=self._logprobs(answer.tokens),
            finish_reason=_finish_reason(answer.finish),
        )
        return responses.ChatCompletion(
            **self._common, choices=[choice], usage=_usage([answer.finish]), llink=metadata.extension()
        )

    def first_chunk(self) -> BaseModel:
        return self._chunk(responses.Delta(role="assistant", content=""))

    def chunk(self, event: StreamEvent, index: int) -> BaseModel | None:
        if not self._has_content(event):
            return None
        return self._chunk(responses.Delta(content=event.text), logprobs=self._logprobs(event.tokens))

    def last_chunk(self, done: FinishInfo, metadata: ResponseMetadata, index: int) -> BaseModel:
        chunk = self._chunk(responses.Delta(), finish_reason=_finish_reason(done))
        chunk.llink = metadata.extension()
        return chunk

    def usage_chunk(self, done: Sequence[FinishInfo]) -> BaseModel:
        return responses.ChatCompletionChunk(**self._common, choices=[], usage=_usage(done))

    def _chunk(self, delta: responses.Delta, **fields: Any) -> responses.ChatCompletionChunk:
        choice = responses.ChunkChoice(delta=delta, **fields)
        return responses.ChatCompletionChunk(**self._common, choices=[choice])

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> responses.ChatLogprobs | None:
        if not self._with_logprobs:
            return None
        content = [
            responses.TokenLogprob(
                token=token.text,
                logprob=finite(token.logprob),
                bytes=list(token.bytes),
                top_logprobs=[
                    responses.TopLogprob(token=top.text, logprob=finite(top.logprob), bytes=list(top.bytes))
                    for top in token.top_logprobs
                ],
            )
            for token in tokens
        ]
        return responses.ChatLogprobs(content=content)


class CompletionFormatter(_Formatter):
    """``/v1/completions``."""

    _prefix = "cmpl"

    def __init__(self, model: str, logprobs: bool) -> None:
        super().__init__(model, logprobs)
        self._offsets = Counter[int]()
        """Characters of each choice so far."""

    def response(self, answers: Answers) -> responses.Completion:
        choices = [
            self._choice(answer.text, answer.tokens, index, _finish_reason(answer.finish))
            for index, (answer, _) in enumerate(answers)
        ]
        usage = _usage([answer.finish for answer, _ in answers])
        body = responses.Completion(**self._common, choices=choices, usage=usage)
        if len(answers) == 1:
            body.llink = answers[0][1].extension()
        else:
            for choice, (_, metadata) in zip(choices, answers, strict=True):
                choice.llink = metadata.extension()
        return body

    def first_chunk(self) -> None:
        return None

    def chunk(self, event: StreamEvent, index: int) -> BaseModel | None:
        if not self._has_content(event):
            return None
        choice = self._choice(event.text, event.tokens, index)
        return responses.Completion(**self._common, choices=[choice])

    def last_chunk(self, done: FinishInfo, metadata: ResponseMetadata, index: int) -> BaseModel:
        choice = self._choice("", (), index, _finish_reason(done))
        return responses.Completion(**self._common, choices=[choice], llink=metadata.extension())

    def usage_chunk(self, done: Sequence[FinishInfo]) -> BaseModel:
        return responses.Completion(**self._common, choices=[], usage=_usage(done))

    def _choice(
        self,
        text: str,
        tokens: Sequence[TokenLogprob],
        index: int,
        finish_reason: responses.FinishReason | None = None,
    ) -> responses.CompletionChoice:
        logprobs = self._logprobs(tokens, index)
        return responses.CompletionChoice(
            index=index, text=text, logprobs=logprobs, finish_reason=finish_reason
        )

    def _logprobs(self, tokens: Sequence[TokenLogprob], index: int) -> responses.CompletionLogprobs | None:
        if not self._with_logprobs:
            return None
        data, position, offsets = b"".join(token.bytes for token in tokens), 0, list[int]()
        starts = character_starts(data)  # events begin and end with whole characters
        for token in tokens:
            character = bisect_right(starts, position) - 1 if position < len(data) else len(starts)
            offsets.append(self._offsets[index] + character)
            position += len(token.bytes)
        self._offsets[index] += len(starts)
        return responses.CompletionLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[None if isnan(token.logprob) else finite(token.logprob) for token in tokens],
            top_logprobs=[
                None if isnan(token.logprob) else _top_logprobs(token.top_logprobs) for token in tokens
            ],
            text_offset=offsets,
        )


def _top_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, float]:
    """By text; of two tokens with the same text the second is named by its id."""
    logprobs: dict[str, float] = {}
    for token in tokens:
        name = token.text if token.text not in logprobs else f"token_id:{token.id}"
        logprobs[name] = finite(token.logprob)
    return logprobs
