"""What the requests' models are made of: strict types, and fields that are known but not supported."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, FailFast, Tag
from pydantic_core import PydanticCustomError


class _First(FailFast):
    """As pydantic's own, and it may stand in a union."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


FIRST = _First()
"""Stop at the first item that is wrong: it is the one told of, and a body has room for very many."""


class Asked(BaseModel):
    """A request: a string is no number, true is no number, and neither is infinity.

    Fields that nobody knows are ignored, as OpenAI's clients expect.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)


def _kind(value: Any) -> str:
    return "(list)" if isinstance(value, list) else "(text)"


EITHER = Discriminator(_kind)
"""A text or a list, told apart by what was sent, so that one of the two is complained of and not both."""
Text = Annotated[str, Tag("(text)")]
Texts = Annotated[list[str], FIRST, Tag("(list)")]
TextOrTexts = Annotated[Text | Texts, EITHER]


def unsupported(*harmless: Any, why: str = "leave it out") -> Any:
    """A field that clients send and nothing here does: only the values that ask for nothing pass."""

    def check(value: Any) -> Any:
        if value is None or any(value == one and type(value) is not bool for one in harmless):
            return value
        if any(value is one for one in harmless):  # True and False are themselves alone
            return value
        raise PydanticCustomError("unsupported", "is not supported here: {why}", {"why": why})

    return AfterValidator(check)


Never = Annotated[Any, unsupported([], {})]
"""Tools, audio and the like."""
Zero = Annotated[Any, unsupported(0, 0.0, why="leave it at 0")]
One = Annotated[Any, unsupported(1, why="one answer is given, so leave it at 1")]
"""Answers to one request."""
