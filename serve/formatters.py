"""Answers in OpenAI's two shapes, whole and in parts."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import isnan
from typing import Any, Protocol

from pydantic import BaseModel

from llink_ray.engine import Answer, FinishInfo, StreamEvent, TokenLogprob
from llink_ray.engine.vocabulary import character_starts
from serve import responses
from serve.access_log import request_id
from serve.responses import finite
from serve.service import ResponseMetadata

Answers = Sequence[tuple[Answer, ResponseMetadata]]


class ResponseFormatter(Protocol):
    """How one endpoint says it."""

    def whole(self, answers: Answers) -> BaseModel:
        """The answers at once, each as a choice of its own."""

    def begin(self) -> BaseModel | None:
        """What comes before the first text."""

    def part(self, event: StreamEvent, place: int) -> BaseModel | None:
        """New text of a choice; None where there is none."""

    def end(self, done: FinishInfo, told: ResponseMetadata, place: int) -> BaseModel:
        """Why a choice ended."""

    def usage(self, done: Sequence[FinishInfo]) -> BaseModel:
        """What all of them cost."""


def usage_of(done: Sequence[FinishInfo]) -> responses.Usage:
    """Tokens really fed and made."""
    return responses.Usage.of(
        sum(one.usage.prompt_tokens for one in done), sum(one.usage.completion_tokens for one in done)
    )


def extension_of(told: ResponseMetadata) -> responses.LlinkMetadata:
    """What is ours."""
    return responses.LlinkMetadata.model_validate(told.extension())


def _finish(done: FinishInfo) -> responses.Finish:
    return "length" if done.reason == "length" else "stop"


class ChatFormatter:
    """``/v1/chat/completions``."""

    def __init__(self, model: str, logprobs: bool) -> None:
        self._named: dict[str, Any] = {
            "id": f"chatcmpl-{request_id()}",
            "created": int(time.time()),
            "model": model,
        }
        self._logprobs = logprobs

    def whole(self, answers: Answers) -> responses.ChatCompletion:
        ((answer, told),) = answers
        choice = responses.Choice(
            message=responses.Said(content=answer.text),
            logprobs=self._of(answer.tokens),
            finish_reason=_finish(answer.finish),
        )
        return responses.ChatCompletion(
            **self._named, choices=[choice], usage=usage_of([answer.finish]), llink=extension_of(told)
        )

    def begin(self) -> BaseModel:
        return self._chunk(responses.Delta(role="assistant", content=""))

    def part(self, event: StreamEvent, place: int) -> BaseModel | None:
        if not event.text and not (self._logprobs and event.tokens):
            return None
        return self._chunk(responses.Delta(content=event.text), self._of(event.tokens))

    def end(self, done: FinishInfo, told: ResponseMetadata, place: int) -> BaseModel:
        last = self._chunk(responses.Delta(), finish=_finish(done))
        last.llink = extension_of(told)
        return last

    def usage(self, done: Sequence[FinishInfo]) -> BaseModel:
        return responses.ChatCompletionChunk(**self._named, choices=[], usage=usage_of(done))

    def _chunk(
        self,
        delta: responses.Delta,
        logprobs: responses.Logprobs | None = None,
        finish: responses.Finish | None = None,
    ) -> responses.ChatCompletionChunk:
        choice = responses.ChunkChoice(delta=delta, logprobs=logprobs, finish_reason=finish)
        return responses.ChatCompletionChunk(**self._named, choices=[choice])

    def _of(self, tokens: Sequence[TokenLogprob]) -> responses.Logprobs | None:
        if not self._logprobs:
            return None
        return responses.Logprobs(
            content=[
                responses.TokenLogprob(
                    token=token.text,
                    logprob=finite(token.logprob),
                    bytes=list(token.bytes),
                    top_logprobs=[
                        responses.TopLogprob(
                            token=one.text, logprob=finite(one.logprob), bytes=list(one.bytes)
                        )
                        for one in token.top
                    ],
                )
                for token in tokens
            ]
        )


class CompletionFormatter:
    """``/v1/completions``."""

    def __init__(self, model: str, logprobs: bool) -> None:
        self._named: dict[str, Any] = {
            "id": f"cmpl-{request_id()}",
            "created": int(time.time()),
            "model": model,
        }
        self._logprobs = logprobs
        self._offsets = Counter[int]()

    def whole(self, answers: Answers) -> responses.Completion:
        choices = [
            self._choice(answer.text, answer.tokens, place, _finish(answer.finish))
            for place, (answer, _) in enumerate(answers)
        ]
        found = responses.Completion(
            **self._named, choices=choices, usage=usage_of([answer.finish for answer, _ in answers])
        )
        if len(answers) == 1:
            found.llink = extension_of(answers[0][1])
        else:
            for choice, (_, told) in zip(choices, answers, strict=True):
                choice.llink = extension_of(told)
        return found

    def begin(self) -> None:
        return None

    def part(self, event: StreamEvent, place: int) -> BaseModel | None:
        if not event.text and not (self._logprobs and event.tokens):
            return None
        choice = self._choice(event.text, event.tokens, place)
        return responses.Completion(**self._named, choices=[choice])

    def end(self, done: FinishInfo, told: ResponseMetadata, place: int) -> BaseModel:
        last = responses.Completion(**self._named, choices=[self._choice("", (), place, _finish(done))])
        last.llink = extension_of(told)
        return last

    def usage(self, done: Sequence[FinishInfo]) -> BaseModel:
        return responses.Completion(**self._named, choices=[], usage=usage_of(done))

    def _choice(
        self, text: str, tokens: Sequence[TokenLogprob], place: int, finish: responses.Finish | None = None
    ) -> responses.TextChoice:
        return responses.TextChoice(
            index=place, text=text, logprobs=self._of(tokens, place), finish_reason=finish
        )

    def _of(self, tokens: Sequence[TokenLogprob], place: int) -> responses.TextLogprobs | None:
        if not self._logprobs:
            return None
        spoken, begun, offsets = b"".join(token.bytes for token in tokens), 0, list[int]()
        starts = character_starts(spoken)  # events begin and end with whole letters
        for token in tokens:
            inside = begun < len(spoken)
            offsets.append(
                self._offsets[place] + (bisect_right(starts, begun) - 1 if inside else len(starts))
            )
            begun += len(token.bytes)
        self._offsets[place] += len(starts)
        return responses.TextLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[None if isnan(token.logprob) else finite(token.logprob) for token in tokens],
            top_logprobs=[None if isnan(token.logprob) else _by_name(token.top) for token in tokens],
            text_offset=offsets,
        )


def _by_name(tokens: Sequence[TokenLogprob]) -> dict[str, float]:
    """Log-probabilities by name; two tokens of the same text are two."""
    found: dict[str, float] = {}
    for token in tokens:
        name = token.text if token.text not in found else f"token_id:{token.id}"
        found[name] = finite(token.logprob)
    return found
