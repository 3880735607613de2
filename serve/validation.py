"""Checks of requests that their types cannot express: the service's limits, and text that is not Unicode."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llink_ray.text.normalisation import visible
from serve.errors import ApiError
from serve.protocol import ChatRequest, CompletionRequest, SamplingRequest, TextBatchRequest, TokenizeRequest
from serve.settings import LimitSettings

NamedText = tuple[str, str]
"""(name of the field, text)."""
_TOO_LONG = "context_length_exceeded"
"""OpenAI's code."""
_SURROGATES = re.compile("[\ud800-\udfff]")


def check_chat(request: ChatRequest, limits: LimitSettings) -> None:
    """Refuse a chat request that breaks a limit.

    Raises:
        ApiError: 400, with the field.
    """
    _check_messages(request, limits)
    _check_sampling(request, limits)
    last = request.messages[-1]
    if last.role == "user" and not visible(last.text).strip():
        name = f"messages[{len(request.messages) - 1}].content"
        raise _refusal(f"{name} is empty: send a text", name)
    if request.top_logprobs is not None and not request.logprobs:
        raise _refusal("top_logprobs wants logprobs: set it to true", "top_logprobs")
    _check_instruction(request)


def check_completion(request: CompletionRequest, limits: LimitSettings) -> None:
    """Refuse a completion request that breaks a limit.

    Raises:
        ApiError: 400, with the field.
    """
    texts = request.texts
    _check_count("prompt", texts, limits.prompts)
    if request.echo and request.stream:
        raise _refusal("echo is not for streams: leave one of the two out", "echo")
    if request.echo and not all(texts):
        raise _refusal("there is nothing to give back: send a prompt that is not empty", "prompt")
    if request.max_tokens == 0 and not request.echo:
        raise _refusal("max_tokens may be 0 with echo alone: ask for 1 or more", "max_tokens")
    _check_texts(_named("prompt", request.prompt), limits, "prompt")
    for name, text in [] if request.echo else _named("prompt", request.prompt):
        if not visible(text).strip():
            raise _refusal(f"{name} is empty: send a text", name)
    _check_sampling(request, limits)
    _check_instruction(request)


def check_tokenize(request: TokenizeRequest, limits: LimitSettings) -> None:
    """Refuse a tokenize request that breaks a limit, or that has neither text nor messages.

    Raises:
        ApiError: 400, with the field.
    """
    if request.text is None and request.messages is None:
        raise _refusal("there is nothing to count: send text or messages", "text")
    _check_messages(request, limits)


def check_text_batch(request: TextBatchRequest, limits: LimitSettings) -> None:
    """Refuse texts for embeddings or detection that break a limit; at least one, none of them empty.

    Raises:
        ApiError: 400, with the text.
    """
    _check_count("input", request.texts, limits.inputs)
    texts = _named("input", request.input)
    _check_texts(texts, limits, "input")
    for name, text in texts:
        if not visible(text):
            raise _refusal(f"{name} is empty: send a text", name)


def check_text(text: str, name: str) -> None:
    """Refuse half of a surrogate pair, which UTF-8 cannot write.

    Characters that nobody sees (controls, direction marks, stray joiners) pass: people paste them without
    knowing, and :mod:`llink_ray.text.normalisation` removes them.

    Raises:
        ApiError: 400, with the code point and its position.
    """
    if match := _SURROGATES.search(text):
        raise _refusal(
            f"{name} has U+{ord(match.group()):04X} at character {match.start()}, half of a surrogate pair: "
            "take it out",
            name,
            "invalid_text",
        )


def _refusal(message: str, param: str, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def _check_messages(request: ChatRequest | TokenizeRequest, limits: LimitSettings) -> None:
    messages = request.messages
    if messages is None:
        _check_texts([("text", request.turns[0][1])], limits, "text")
        return
    if len(messages) > limits.messages:
        message = f"there are {len(messages)} messages, and {limits.messages} fit: send fewer"
        raise _refusal(message, "messages", _TOO_LONG)
    _check_texts([(f"messages[{i}].content", m.text) for i, m in enumerate(messages)], limits, "messages")


def _check_sampling(request: SamplingRequest, limits: LimitSettings) -> None:
    if len(request.stops) > limits.stops:
        raise _refusal(f"stop may have {limits.stops} strings at most: send fewer", "stop")
    for stop in request.stops:
        if len(stop) > limits.stop_characters:
            limit = limits.stop_characters
            raise _refusal(f"a stop string may have {limit} characters at most: send a shorter one", "stop")
        check_text(stop, "stop")
    if request.stream_options is not None and not request.stream:
        raise _refusal("stream_options is for streams: set stream to true", "stream_options")


def _check_instruction(request: ChatRequest | CompletionRequest) -> None:
    if request.llink and request.llink.default_instruction:
        check_text(request.llink.default_instruction, "llink.default_instruction")


def _check_count(field: str, texts: Sequence[str], limit: int) -> None:
    if not texts:
        raise _refusal(f"{field} is empty: send a text", field)
    if len(texts) > limit:
        raise _refusal(f"there are {len(texts)} {field}s, and {limit} fit: send fewer", field)


def _check_texts(texts: Sequence[NamedText], limits: LimitSettings, param: str) -> None:
    total = sum(len(text) for _, text in texts)
    if total > limits.characters:  # before the texts are looked through, since it costs nothing
        message = f"{param} has {total} characters, and {limits.characters} fit: send less"
        raise _refusal(message, param, _TOO_LONG)
    for name, text in texts:
        check_text(text, name)


def _named(field: str, texts: str | list[str]) -> list[NamedText]:
    if isinstance(texts, str):
        return [(field, texts)]
    return [(f"{field}[{i}]", text) for i, text in enumerate(texts)]
