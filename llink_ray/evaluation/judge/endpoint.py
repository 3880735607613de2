"""A model behind an OpenAI-compatible endpoint as judge."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge import prompt
from llink_ray.evaluation.judge.records import Case, JudgeResponse, Message
from llink_ray.evaluation.judge.settings import JudgeSettings
from llink_ray.network import is_loopback

if TYPE_CHECKING:
    from openai import OpenAI, OpenAIError

_QUOTED = 200
"""Characters of a server's own message that are repeated."""


class Endpoint:
    """Asks ``POST {url}/chat/completions``. The key is read when the first request is due."""

    remote = True

    def __init__(self, settings: JudgeSettings) -> None:
        """Nothing is asked yet: no key is needed where the cache has all verdicts."""
        self._settings = settings
        self._options: dict[str, Any] = {"model": settings.model}
        if settings.temperature is not None:
            self._options["temperature"] = settings.temperature
        if settings.max_tokens is not None:
            self._options["max_tokens"] = settings.max_tokens
        if settings.json_mode:
            self._options["response_format"] = {"type": "json_object"}
        self.identity = json.dumps({"url": settings.url, **self._options}, sort_keys=True)

    @cached_property
    def _key(self) -> str | None:
        name = self._settings.key_env
        if name is None:
            return None
        key = os.environ.get(name, "").strip()
        if not key:
            raise LlinkError(
                f"the judge's key is missing: put it in the environment variable {name}, "
                "or set key_env to null for an endpoint that wants none"
            )
        if not (key.isascii() and key.isprintable()):
            raise LlinkError(f"the environment variable {name} holds no key: letters that no header may hold")
        return key

    @cached_property
    def _client(self) -> OpenAI:
        from openai import DefaultHttpxClient, OpenAI  # late: the command line need not wait for it

        settings = self._settings
        loopback = is_loopback(urlsplit(settings.url).hostname or "")  # a proxy is for other machines
        return OpenAI(
            api_key=self._key or "none",
            base_url=settings.url,
            timeout=settings.timeout_s,
            max_retries=settings.retries,
            http_client=DefaultHttpxClient(trust_env=not loopback),
        )

    def _redact(self, text: str) -> str:
        """Without the key, should a server repeat it. Placeholders such as ``EMPTY`` are no secrets."""
        return text.replace(self._key, "***") if self._key and len(self._key) >= 8 else text

    def messages(self, case: Case) -> list[Message]:
        """The question as it is put first."""
        return prompt.question(case)

    def judge(self, case: Case) -> JudgeResponse:
        """Ask, and ask again while the reply is not the JSON object asked for."""
        messages, replies = prompt.question(case), list[str]()
        requests, used = 0, [0, 0]
        verdict = None
        for turn in range(self._settings.reasks + 1):
            if turn:
                messages = [*messages, *prompt.ask_again(replies[-1])]
            body, tries = self._post(messages)
            requests += tries
            text = self._content(body)
            verdict = prompt.parse(text)
            replies.append(self._redact(text))
            usage = body.get("usage")
            for i, name in enumerate(("prompt_tokens", "completion_tokens")):
                count = usage.get(name) if isinstance(usage, dict) else None
                used[i] += count if isinstance(count, int) else 0
            if verdict is not None:
                break
        return JudgeResponse(verdict or "unreadable", messages, replies, requests, used[0], used[1])

    def _content(self, body: dict[str, Any]) -> str:
        try:
            content = body["choices"][0]["message"].get("content")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise self._no_completion() from None
        # A refusal has no content: it is a reply, if not one that can be read.
        return content if isinstance(content, str) else ""

    def _no_completion(self) -> LlinkError:
        return LlinkError(
            f"{self._settings.url} answers with something that is no chat completion: "
            "check the judge's url, it often ends in /v1"
        )

    def _explain(self, error: OpenAIError) -> str:
        """What a failed request means, in one sentence."""
        import openai

        settings, url, times = self._settings, self._settings.url, self._settings.retries + 1
        if isinstance(error, openai.APITimeoutError):
            return (
                f"{url} gave no reply within {settings.timeout_s:g} s, {times} times: "
                "raise the judge's timeout_s"
            )
        if isinstance(error, openai.APIConnectionError):
            return f"{url} cannot be reached, tried {times} times: start it, or check the judge's url"
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        if status in (401, 403):
            key = (
                f"the key in {settings.key_env}"
                if settings.key_env
                else "requests without a key: set key_env"
            )
            return f"{url} refuses {key} ({status}); the model asked for is {settings.model!r}"
        if status == 404:
            return f"{url} has no model {settings.model!r} (404): check the judge's model, then its url"
        if status == 429:
            return f"{url} still limits the rate after {times} tries (429): lower concurrency, or wait"
        quoted = " ".join(self._redact(str(error)).split())[:_QUOTED]  # redacted before it is cut
        return f"{url} could not answer ({status or type(error).__name__}): {quoted}"

    def _post(self, messages: list[Message]) -> tuple[dict[str, Any], int]:
        """(body, requests it took)"""
        import openai

        # Only what the settings name is sent, not what the environment holds for another service.
        headers: dict[str, Any] = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
        if self._key is None:
            headers["Authorization"] = openai.omit
        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            raw = create(messages=messages, extra_headers=headers, **self._options)
        except openai.OpenAIError as error:
            # Without the chained error, which holds the request and so the key.
            raise LlinkError(self._explain(error)) from None
        try:
            body = json.loads(raw.text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise self._no_completion()
        return body, raw.retries_taken + 1
