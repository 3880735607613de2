"""Settings of the judge."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from llink_ray.settings import Section


class JudgeSettings(Section):
    """Who judges pairs of answers, and at what cost."""

    # An address with a password in it is refused, and must not be repeated in the refusal.
    model_config = ConfigDict(hide_input_in_errors=True)

    backend: Literal["reference", "endpoint"] = "reference"
    """``reference``: compare with the known answers; ``endpoint``: ask a model."""
    url: str = ""
    """Base of an OpenAI-compatible endpoint, e.g. ``http://127.0.0.1:8000/v1``."""
    model: str = ""
    """Model that the endpoint is asked for."""
    key_env: str | None = "OPENAI_API_KEY"
    """Environment variable that holds the key; nothing for an endpoint that wants none."""
    timeout_s: PositiveFloat = 60.0
    """Seconds to wait for one reply."""
    retries: int = Field(default=4, ge=0)
    """Further tries, with growing waits, after 408, 409, 429, 5xx, a timeout or a lost connection."""
    reasks: int = Field(default=2, ge=0)
    """Further questions where a reply is not the JSON asked for; then it counts as unreadable, a tie."""
    max_judgements: PositiveInt | None = None
    """Pairs of answers judged, each in both orders: a sample by the seed; nothing means all."""
    concurrency: PositiveInt = 4
    """Requests at once."""
    temperature: float | None = Field(default=0.0, ge=0.0)
    """Of the judge's sampling; nothing: not sent, for models that refuse it."""
    max_tokens: PositiveInt | None = 300
    """Longest reply; nothing: not sent."""
    json_mode: bool = True
    """Ask the endpoint for ``response_format: json_object``; off for those that refuse it."""
    price_in: float | None = Field(default=None, ge=0.0)
    """Price of a million tokens sent, in any currency; nothing: no cost is estimated."""
    price_out: float | None = Field(default=None, ge=0.0)
    """Price of a million tokens received."""
    margin: float = Field(default=0.05, ge=0.0, le=1.0)
    """Reference judge: scores (0 to 1) no further apart than this are a tie."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the judge's url must be like http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "the judge's url must hold no user, password or query: "
                "put the key in the environment variable that key_env names"
            )
        return url.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> JudgeSettings:
        if self.backend == "endpoint" and not (self.url and self.model):
            raise ValueError(
                "the endpoint judge needs both url and model: set them, e.g. url=http://127.0.0.1:8000/v1"
            )
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("the judge's price_in and price_out go together: give both, or neither")
        return self
