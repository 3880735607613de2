"""Answers in OpenAI's two shapes, whole and in parts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from llink_ray.decoding import Answer, Done, Event, Token
from serve import replies
from serve.logs import request_id
from serve.replies import finite
from serve.service import Told


class Shape(Protocol):
    """How one endpoint says it."""

    def whole(self, answer: Answer, told: Told) -> BaseModel:
        """The answer at once."""

    def begin(self) -> BaseModel | None:
        """What comes before the first text."""

    def part(self, event: Event) -> BaseModel | None:
        """New text; None where there is none."""

    def end(self, done: Done, told: Told, with_usage: bool) -> list[BaseModel]:
        """Why it ended, and what it cost."""


def usage_of(done: Done) -> replies.Usage:
    """Tokens really fed and made."""
    return replies.Usage.of(done.usage.prompt_tokens, done.usage.completion_tokens)


def extension_of(told: Told) -> replies.Extension:
    """What is ours."""
    return replies.Extension.model_validate(told.extension())


def _finish(done: Done) -> replies.Finish:
    return "length" if done.reason == "length" else "stop"


class ChatShape:
    """``/v1/chat/completions``."""

    def __init__(self, model: str, logprobs: bool) -> None:
        self._named: dict[str, Any] = {
            "id": f"chatcmpl-{request_id()}",
            "created": int(time.time()),
            "model": model,
        }
        self._logprobs = logprobs

    def whole(self, answer: Answer, told: Told) -> replies.ChatCompletion:
        choice = replies.Choice(
            message=replies.Said(content=answer.text),
            logprobs=self._of(answer.tokens),
            finish_reason=_finish(answer.done),
        )
        return replies.ChatCompletion(
            **self._named, choices=[choice], usage=usage_of(answer.done), llink=extension_of(told)
        )

    def begin(self) -> BaseModel:
        return self._chunk(replies.Delta(role="assistant", content=""))

    def part(self, event: Event) -> BaseModel | None:
        if not event.text and not (self._logprobs and event.tokens):
            return None
        return self._chunk(replies.Delta(content=event.text), self._of(event.tokens))

    def end(self, done: Done, told: Told, with_usage: bool) -> list[BaseModel]:
        last = self._chunk(replies.Delta(), finish=_finish(done))
        last.llink = extension_of(told)
        found: list[BaseModel] = [last]
        if with_usage:
            found.append(replies.ChatCompletionChunk(**self._named, choices=[], usage=usage_of(done)))
        return found

    def _chunk(
        self,
        delta: replies.Delta,
        logprobs: replies.Logprobs | None = None,
        finish: replies.Finish | None = None,
    ) -> replies.ChatCompletionChunk:
        choice = replies.ChunkChoice(delta=delta, logprobs=logprobs, finish_reason=finish)
        return replies.ChatCompletionChunk(**self._named, choices=[choice])

    def _of(self, tokens: Sequence[Token]) -> replies.Logprobs | None:
        if not self._logprobs:
            return None
        return replies.Logprobs(
            content=[
                replies.TokenLogprob(
                    token=token.text,
                    logprob=finite(token.logprob),
                    bytes=list(token.text.encode()),
                    top_logprobs=[
                        replies.TopLogprob(token=text, logprob=finite(value), bytes=list(text.encode()))
                        for _, text, value in token.top
                    ],
                )
                for token in tokens
            ]
        )


class TextShape:
    """``/v1/completions``."""

    def __init__(self, model: str, logprobs: bool) -> None:
        self._named: dict[str, Any] = {
            "id": f"cmpl-{request_id()}",
            "created": int(time.time()),
            "model": model,
        }
        self._logprobs = logprobs
        self._offset = 0

    def whole(self, answer: Answer, told: Told) -> replies.Completion:
        found = self._text(answer.text, answer.tokens, _finish(answer.done))
        found.usage, found.llink = usage_of(answer.done), extension_of(told)
        return found

    def begin(self) -> None:
        return None

    def part(self, event: Event) -> BaseModel | None:
        if not event.text and not (self._logprobs and event.tokens):
            return None
        return self._text(event.text, event.tokens)

    def end(self, done: Done, told: Told, with_usage: bool) -> list[BaseModel]:
        last = self._text("", (), _finish(done))
        last.llink = extension_of(told)
        found: list[BaseModel] = [last]
        if with_usage:
            found.append(replies.Completion(**self._named, choices=[], usage=usage_of(done)))
        return found

    def _text(
        self, text: str, tokens: Sequence[Token], finish: replies.Finish | None = None
    ) -> replies.Completion:
        choice = replies.TextChoice(text=text, logprobs=self._of(tokens), finish_reason=finish)
        return replies.Completion(**self._named, choices=[choice])

    def _of(self, tokens: Sequence[Token]) -> replies.TextLogprobs | None:
        if not self._logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token.text)
        return replies.TextLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[finite(token.logprob) for token in tokens],
            top_logprobs=[{text: finite(value) for _, text, value in token.top} for token in tokens],
            text_offset=offsets,
        )
