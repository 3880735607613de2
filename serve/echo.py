"""Prompts given back with the log-probabilities of their tokens: what multiple choice is measured by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llink_ray.engine import Answer, FinishInfo, TokenLogprob, Usage
from llink_ray.engine.echo_prompt import EchoPrompt
from llink_ray.engine.sampling import COLDEST
from llink_ray.engine.vocabulary import display_name

if TYPE_CHECKING:
    from serve.metadata import ResponseMetadata
    from serve.service import Service

NOT_READ = math.nan
"""Log-probability of the first token, and of those that slots stand for: null in the reply."""


async def echoed(service: Service, told: ResponseMetadata, echo_prompt: EchoPrompt) -> Answer:
    """The prompt's text and tokens, then what the decoder goes on with.

    Raises:
        LlinkError: as the backend.
    """
    ask, most = told.request.generation, told.request.echo_max_tokens
    text = told.request.conversation.raw_messages[0][1]
    if ask.sampling.logprobs is None:
        made = _nothing(len(ask.ids)) if most == 0 else (await service.backend.answer(ask))[0]
        return Answer(text + made.text, (), made.finish)
    expected = await service.backend.expected(ask)
    if most == 0:
        made = _nothing(len(ask.ids))
    elif most == 1 and ask.sampling.temperature < COLDEST and not ask.sampling.stop:
        made = _next(expected[-1], len(ask.ids))
    else:
        made, _ = await service.backend.answer(ask)
    return Answer(text + made.text, (*_listed(echo_prompt, expected), *made.tokens), made.finish)


def _nothing(fed: int) -> Answer:
    return Answer("", (), FinishInfo("length", Usage(fed, 0)))


def _next(token: TokenLogprob | None, fed: int) -> Answer:
    """The likeliest token behind the prompt: also one that ends the answer is listed."""
    assert token is not None, "the decoder expects something"
    try:
        text = token.bytes.decode()
    except UnicodeDecodeError:
        text, token = "", replace(token, bytes=b"")
    return Answer(text, (token,), FinishInfo("length" if token.bytes else "stop", Usage(fed, 1)))


def _listed(echo_prompt: EchoPrompt, expected: Sequence[TokenLogprob | None]) -> list[TokenLogprob]:
    found = []
    for number, one in enumerate(echo_prompt.listed):
        token = expected[one.place] if one.place is not None and number > 0 else None
        if token is None:
            token = TokenLogprob(one.id, "", NOT_READ)
        found.append(replace(token, text=display_name(one.bytes), bytes=one.bytes))
    return found
