"""What the models of requests cannot know: the service's own limits, and letters that are refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llink_ray.text.normalisation import visible
from serve.errors import ApiError
from serve.protocol import Batch, ChatRequest, CompletionRequest, Sampled, TokenizeRequest
from serve.settings import LimitSettings
from serve.text import check_text

Placed = tuple[str, str]
"""(where it stands, text)."""


def check_chat(request: ChatRequest, limits: LimitSettings) -> None:
    """All that may be wrong with a chat before it is understood.

    Raises:
        ApiError: 400, with the field.
    """
    check_messages(request, limits)
    check_sampling(request, limits)
    if request.top_logprobs is not None and not request.logprobs:
        raise ApiError.bad_request("top_logprobs wants logprobs: set it to true", "top_logprobs")
    _check_instruction(request)


def check_completion(request: CompletionRequest, limits: LimitSettings) -> None:
    """The same for a completion.

    Raises:
        ApiError: 400, with the field.
    """
    texts = request.texts
    _check_count("prompt", texts, limits.prompts)
    if request.echo and request.stream:
        raise ApiError.bad_request("echo is not for streams: leave one of the two out", "echo")
    if request.echo and not all(texts):
        raise ApiError.bad_request("there is nothing to give back: send a prompt that is not empty", "prompt")
    if request.max_tokens == 0 and not request.echo:
        raise ApiError.bad_request("max_tokens may be 0 with echo alone: ask for 1 or more", "max_tokens")
    _check_texts(_placed("prompt", request.prompt), limits, "prompt")
    check_sampling(request, limits)
    _check_instruction(request)


def check_messages(request: ChatRequest | TokenizeRequest, limits: LimitSettings) -> None:
    """How many, how long, and which letters.

    Raises:
        ApiError: 400, with the message.
    """
    messages = request.messages
    if messages is None:
        _check_texts([("text", request.said[0][1])], limits)
        return
    if len(messages) > limits.messages:
        raise ApiError.too_long(
            f"there are {len(messages)} messages, and {limits.messages} fit: send fewer", "messages"
        )
    placed = [(f"messages[{i}].content", message.text) for i, message in enumerate(messages)]
    _check_texts(placed, limits, "messages")


def check_tokenize(request: TokenizeRequest, limits: LimitSettings) -> None:
    """One of text and messages, within bounds.

    Raises:
        ApiError: 400, with the field.
    """
    if request.text is None and request.messages is None:
        raise ApiError.bad_request("there is nothing to count: send text or messages", "text")
    check_messages(request, limits)


def check_batch(request: Batch, limits: LimitSettings) -> None:
    """Texts of embeddings or detections: at least one, none of them empty.

    Raises:
        ApiError: 400, with the text.
    """
    _check_count("input", request.texts, limits.inputs)
    placed = _placed("input", request.input)
    _check_texts(placed, limits, "input")
    for where, text in placed:
        if not visible(text):
            raise ApiError.bad_request(f"{where} is empty: send a text", where)


def check_sampling(request: Sampled, limits: LimitSettings) -> None:
    """Stop strings, and what goes with a stream.

    Raises:
        ApiError: 400, with the field.
    """
    if len(request.stops) > limits.stops:
        raise ApiError.bad_request(f"stop may have {limits.stops} strings at most: send fewer", "stop")
    for stop in request.stops:
        if len(stop) > limits.stop_characters:
            raise ApiError.bad_request(
                f"a stop string may have {limits.stop_characters} characters at most: send a shorter one",
                "stop",
            )
        check_text(stop, "stop")
    if request.stream_options is not None and not request.stream:
        raise ApiError.bad_request("stream_options is for streams: set stream to true", "stream_options")


def _check_count(field: str, texts: Sequence[str], most: int) -> None:
    if not texts:
        raise ApiError.bad_request(f"{field} is empty: send a text", field)
    if len(texts) > most:
        raise ApiError.bad_request(f"there are {len(texts)} {field}s, and {most} fit: send fewer", field)


def _placed(field: str, given: str | list[str]) -> list[Placed]:
    """One text, or several with their places."""
    if isinstance(given, str):
        return [(field, given)]
    return [(f"{field}[{i}]", text) for i, text in enumerate(given)]


def _check_instruction(request: ChatRequest | CompletionRequest) -> None:
    if request.llink and request.llink.default_instruction:
        check_text(request.llink.default_instruction, "llink.default_instruction")


def _check_texts(placed: Iterable[Placed], limits: LimitSettings, param: str | None = None) -> None:
    """Length first, which costs nothing, then letters."""
    listed = list(placed)
    total = sum(len(text) for _, text in listed)
    if total > limits.characters:
        where = param or listed[0][0]
        raise ApiError.too_long(
            f"{where} has {total} characters, and {limits.characters} fit: send less", where
        )
    for where, text in listed:
        check_text(text, where)
