"""What the requests' models are made of: strict types, and fields that are known but not supported."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, FailFast, Tag
from pydantic_core import PydanticCustomError


class _First(FailFast):
    """As pydantic's own, and it may stand in a union."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


FIRST = _First()
"""Stop at the first item that is wrong: it is the one told of, and a body has room for very many."""


class RequestModel(BaseModel):
    """A request: a string is no number, true is no number, and neither is infinity.

    Fields that nobody knows are ignored, as OpenAI's clients expect.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)


def refused(why: str) -> PydanticCustomError:
    """What a validator raises: ``why`` goes on after the field's name."""
    return PydanticCustomError(OWN, "{why}", {"why": why})


OWN = "said_here"
"""Type of errors whose sentence is ours; of others only the type is told on, in words of our own."""


def _kind(value: Any) -> str:
    return "(list)" if isinstance(value, list) else "(text)"


def _no_ids(value: Any) -> Any:
    """Clients that count tokens by themselves send ids of a vocabulary that is not ours."""
    first = value[0] if isinstance(value, list) and value else None
    if type(first) is int or (isinstance(first, list) and all(type(one) is int for one in first)):
        raise refused("has token ids in it, and only text is read here: have your client send text")
    return value


EITHER = Discriminator(_kind)
"""A text or a list, told apart by what was sent, so that one of the two is complained of and not both."""
Text = Annotated[str, Tag("(text)")]
Texts = Annotated[list[str], FIRST, Tag("(list)")]
TextOrTexts = Annotated[Text | Texts, EITHER]
Inputs = Annotated[TextOrTexts, BeforeValidator(_no_ids)]
"""What is to be read."""


def unsupported(*harmless: Any, why: str = "is not supported here: leave it out") -> Any:
    """A field that clients send and nothing here does: only the values that ask for nothing pass."""

    def check(value: Any) -> Any:
        if value is None or any(value == one and type(value) is not bool for one in harmless):
            return value
        if any(value is one for one in harmless):  # True and False are themselves alone
            return value
        raise refused(why)

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
Never = Annotated[Any, unsupported([], {})]
"""Audio and the like."""
Tools = Annotated[Any, unsupported([], {}, why=NO_TOOLS)]
Structured = Annotated[Any, unsupported(why=NO_SCHEMA)]
"""As other servers call it."""
Zero = Annotated[Any, unsupported(0, 0.0, why="is not supported here: leave it at 0")]
One = Annotated[Any, unsupported(1, why="is not supported here: one answer is given, so leave it at 1")]
"""Answers to one request."""
