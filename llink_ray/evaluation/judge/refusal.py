"""What an endpoint's refusal means, in one sentence for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llink_ray.evaluation.judge.settings import JudgeSettings

if TYPE_CHECKING:
    from openai import OpenAIError

_SHOWN = 200
"""Letters of a server's own message that are repeated."""


def told(error: OpenAIError, settings: JudgeSettings, clean: Callable[[str], str]) -> str:
    """One sentence. ``clean`` takes out what must not be repeated of the server's own words."""
    import openai

    url, times = settings.url, settings.retries + 1
    if isinstance(error, openai.APITimeoutError):
        return (
            f"{url} gave no reply within {settings.timeout_s:g} s, {times} times: raise the judge's timeout_s"
        )
    if isinstance(error, openai.APIConnectionError):
        return f"{url} cannot be reached, tried {times} times: start it, or check the judge's url"
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    if status in (401, 403):
        key = f"the key in {settings.key_env}" if settings.key_env else "requests without a key: set key_env"
        return f"{url} refuses {key} ({status}); the model asked for is {settings.model!r}"
    if status == 404:
        return f"{url} has no model {settings.model!r} (404): check the judge's model, then its url"
    if status == 429:
        return f"{url} still limits the rate after {times} tries (429): lower concurrency, or wait"
    said = " ".join(clean(str(error)).split())[:_SHOWN]  # cleaned while it is whole
    return f"{url} could not answer ({status or type(error).__name__}): {said}"
