"""What a browser kept, checked like a request: who can write into its storage gets no further than text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, NonNegativeInt

LETTERS = 500_000
"""Of one message."""
MESSAGES = 2_000
"""Of one conversation."""
Text = Annotated[str, Field(max_length=LETTERS)]
Short = Annotated[str, Field(max_length=1_000)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Code = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class _Kept(BaseModel):
    """Of the fields that are known; others are left out."""

    model_config = ConfigDict(extra="ignore")


class _Span(_Kept):
    start: NonNegativeInt
    end: NonNegativeInt
    language: _Code | None = None
    name: Short | None = None
    own_name: Short | None = None
    direction: Literal["ltr", "rtl"] = "ltr"
    confidence: FiniteFloat = 0.0
    served: bool = False
    message: NonNegativeInt = 0
    sentences: NonNegativeInt = 0
    slots: NonNegativeInt = 0
    outside: NonNegativeInt | None = 0
    numerals: Annotated[list[Short], Field(max_length=1_000)] = []


class _Bundle(_Kept):
    version: Short = ""
    digest: Short = ""


class _Grounding(_Kept):
    nats: FiniteFloat = 0.0
    sentence: Short = ""


class _Notice(_Kept):
    code: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")] = ""
    message: Short = ""


class _Llink(_Kept):
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


class _Usage(_Kept):
    prompt_tokens: NonNegativeInt = 0
    completion_tokens: NonNegativeInt = 0
    total_tokens: NonNegativeInt = 0


class _Seen(_Kept):
    model: Short = ""
    llink: _Llink = _Llink()
    usage: _Usage = _Usage()
    first_token: FiniteFloat = 0.0
    tokens_per_second: FiniteFloat = 0.0
    finish_reason: Short = ""


def _as(kind: type[_Kept]) -> BeforeValidator:
    """A dictionary with what ``kind`` knows of it, and nothing that it did not have."""
    return BeforeValidator(lambda data: kind.model_validate(data).model_dump(exclude_unset=True))


Span = Annotated[dict[str, Any], _as(_Span)]
"""As ``/v1/detect`` has it."""
Seen = Annotated[dict[str, Any], _as(_Seen)]
"""What the service said beside an answer, and how long it took."""
