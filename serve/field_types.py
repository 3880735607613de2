"""Types of request fields: strict, and fields of OpenAI's API that are known but not supported."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, FailFast, Tag
from pydantic_core import PydanticCustomError

CUSTOM_ERROR = "llink"
"""Type of errors whose sentence is written here; pydantic's own sentences are never shown."""


class _HashableFailFast(FailFast):
    """As pydantic's own, and it may stand in a union."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


FAIL_FAST = _HashableFailFast()
"""Stop at the first wrong item: it alone is reported, and a body has room for very many."""


class RequestModel(BaseModel):
    """Strict JSON: a string is no number, true is no number, and neither is infinity.

    Unknown fields are ignored, as OpenAI's clients expect.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)


def validation_error(why: str) -> PydanticCustomError:
    """What a validator raises; ``why`` follows the field's name in the message."""
    return PydanticCustomError(CUSTOM_ERROR, "{why}", {"why": why})


def _no_token_ids(value: Any) -> Any:
    """Clients that count tokens themselves send ids of another vocabulary."""
    first = value[0] if isinstance(value, list) and value else None
    if type(first) is int or (isinstance(first, list) and all(type(item) is int for item in first)):
        raise validation_error("has token ids in it, and only text is read here: have your client send text")
    return value


TEXT_OR_LIST = Discriminator(lambda value: "(list)" if isinstance(value, list) else "(text)")
"""Chosen by what was sent, so that an error is about one of the two and not about both."""
Text = Annotated[str, Tag("(text)")]
Texts = Annotated[list[str], FAIL_FAST, Tag("(list)")]
TextOrTexts = Annotated[Text | Texts, TEXT_OR_LIST]
InputTexts = Annotated[TextOrTexts, BeforeValidator(_no_token_ids)]


def unsupported(*harmless: Any, why: str = "is not supported here: leave it out") -> Any:
    """A field that clients send and this service lacks: only null and values that ask for nothing pass."""

    def check(value: Any) -> Any:
        if value is None or any(value == other and type(value) is not bool for other in harmless):
            return value
        if any(value is other for other in harmless):  # True and False
            return value
        raise validation_error(why)

    return AfterValidator(check)


NO_TOOLS = (
    "asks for tools, which do not exist here: answers are text, and nothing is ever called; leave it out. "
    "What there is: chats, completions, embeddings, /v1/detect for the languages of a text and /v1/tokenize "
    "for what it costs"
)
NO_SCHEMA = (
    "asks for structured output, which does not exist here: answers are plain text that no schema or grammar "
    "holds; leave it out. What there is: say in the message what form you want, end it with stop or "
    "max_tokens, and compare choices by logprobs"
)
Unsupported = Annotated[Any, unsupported([], {})]
UnsupportedTools = Annotated[Any, unsupported([], {}, why=NO_TOOLS)]
UnsupportedSchema = Annotated[Any, unsupported(why=NO_SCHEMA)]
OnlyZero = Annotated[Any, unsupported(0, 0.0, why="is not supported here: leave it at 0")]
OnlyOne = Annotated[Any, unsupported(1, why="is not supported here: one answer is given, so leave it at 1")]
