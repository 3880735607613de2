"""Schema of what a browser stored. It is checked like a request, since its owner can write anything there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, NonNegativeInt

MAX_CHARACTERS = 500_000
"""Of one message."""
MAX_MESSAGES = 2_000
"""Of one conversation."""
LongText = Annotated[str, Field(max_length=MAX_CHARACTERS)]
ShortText = Annotated[str, Field(max_length=1_000)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Code = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class _Schema(BaseModel):
    """Unknown fields are dropped."""

    model_config = ConfigDict(extra="ignore")


class _Span(_Schema):
    start: NonNegativeInt
    end: NonNegativeInt
    language: _Code | None = None
    name: ShortText | None = None
    own_name: ShortText | None = None
    direction: Literal["ltr", "rtl"] = "ltr"
    confidence: FiniteFloat = 0.0
    served: bool = False
    message: NonNegativeInt = 0
    sentences: NonNegativeInt = 0
    slots: NonNegativeInt = 0
    outside: NonNegativeInt | None = 0
    numerals: Annotated[list[ShortText], Field(max_length=1_000)] = []


class _Bundle(_Schema):
    version: ShortText = ""
    digest: ShortText = ""


class _Grounding(_Schema):
    nats: FiniteFloat = 0.0
    sentence: ShortText = ""


class _Notice(_Schema):
    code: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")] = ""
    message: ShortText = ""


class _Llink(_Schema):
    spans: Annotated[list[_Span], Field(max_length=5_000)] = []
    sentences: NonNegativeInt = 0
    slots: NonNegativeInt = 0
    slot_cache_hits: NonNegativeInt = 0
    prompt_tokens: NonNegativeInt = 0
    prompt_tokens_raw: NonNegativeInt = 0
    bundles: Annotated[dict[_Code, _Bundle], Field(max_length=200)] = {}
    adapter: _Code | None = None
    grounding: _Grounding | None = None
    instruction_added: bool = False
    notices: Annotated[list[_Notice], Field(max_length=20)] = []


class _Usage(_Schema):
    prompt_tokens: NonNegativeInt = 0
    completion_tokens: NonNegativeInt = 0
    total_tokens: NonNegativeInt = 0


class _Metadata(_Schema):
    model: ShortText = ""
    llink: _Llink = _Llink()
    usage: _Usage = _Usage()
    first_token: FiniteFloat = 0.0
    tokens_per_second: FiniteFloat = 0.0
    finish_reason: ShortText = ""


def _checked_by(schema: type[_Schema]) -> BeforeValidator:
    """A dictionary with the fields of ``schema`` that were given."""
    return BeforeValidator(lambda data: schema.model_validate(data).model_dump(exclude_unset=True))


Span = Annotated[dict[str, Any], _checked_by(_Span)]
"""A span of ``/v1/detect``."""
Metadata = Annotated[dict[str, Any], _checked_by(_Metadata)]
"""What the service reported with an answer, and how long it took."""
