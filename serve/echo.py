"""Completions with ``echo``: prompt tokens with log-probabilities, as multiple choice is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llink_ray.engine import Answer, FinishInfo, TokenLogprob, Usage
from llink_ray.engine.sampling import GREEDY_BELOW
from llink_ray.engine.vocabulary import display_name
from serve.echo_prompt import EchoPrompt

if TYPE_CHECKING:
    from serve.metadata import ResponseMetadata
    from serve.service import Service

NO_LOGPROB = math.nan
"""Log-probability of the first token, and of those that slots stand for: null in the response."""


async def echoed(service: Service, told: ResponseMetadata, echo_prompt: EchoPrompt) -> Answer:
    """The prompt's text and tokens, followed by what the decoder generates.

    Raises:
        LlinkError: as the backend.
    """
    ask, most = told.request.generation, told.request.echo_max_tokens
    text = told.request.conversation.raw_messages[0][1]
    if ask.sampling.logprobs is None:
        answer = _empty(len(ask.ids)) if most == 0 else (await service.backend.answer(ask))[0]
        return replace(answer, text=text + answer.text, tokens=())
    logprobs = await service.backend.prompt_logprobs(ask)
    if most == 0:
        answer = _empty(len(ask.ids))
    elif most == 1 and ask.sampling.temperature < GREEDY_BELOW and not ask.sampling.stop:
        answer = _one_token(logprobs[-1], len(ask.ids))
    else:
        answer, _ = await service.backend.answer(ask)
    tokens = (*_prompt_tokens(echo_prompt, logprobs), *answer.tokens)
    return replace(answer, text=text + answer.text, tokens=tokens)


def _empty(prompt_tokens: int) -> Answer:
    return Answer("", (), FinishInfo("length", Usage(prompt_tokens, 0)))


def _one_token(token: TokenLogprob | None, prompt_tokens: int) -> Answer:
    """The likeliest token behind the prompt; one that ends the answer is listed as well."""
    assert token is not None, "the last entry is the next token"
    try:
        text = token.bytes.decode()
    except UnicodeDecodeError:
        text, token = "", replace(token, bytes=b"")
    return Answer(text, (token,), FinishInfo("length" if token.bytes else "stop", Usage(prompt_tokens, 1)))


def _prompt_tokens(echo_prompt: EchoPrompt, logprobs: Sequence[TokenLogprob | None]) -> list[TokenLogprob]:
    tokens = []
    for number, part in enumerate(echo_prompt.text_tokens):
        token = logprobs[part.position] if part.position is not None and number > 0 else None
        token = token or TokenLogprob(part.id, "", NO_LOGPROB)
        tokens.append(replace(token, text=display_name(part.bytes), bytes=part.bytes))
    return tokens
