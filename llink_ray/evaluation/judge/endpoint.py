"""A model behind an OpenAI-compatible endpoint as judge."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge import prompt
from llink_ray.evaluation.judge.contest import Case, Message, Ruling
from llink_ray.evaluation.judge.refusal import told
from llink_ray.evaluation.judge.settings import JudgeSettings
from llink_ray.network import is_loopback

if TYPE_CHECKING:
    from openai import OpenAI


class Endpoint:
    """Asks ``POST {url}/chat/completions``. The key is read when the first request is due."""

    remote = True

    def __init__(self, settings: JudgeSettings) -> None:
        """Nothing is asked yet, and no key is needed where the cache knows all verdicts."""
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
        alone = is_loopback(urlsplit(settings.url).hostname or "")  # a proxy is for other machines
        return OpenAI(
            api_key=self._key or "none",
            base_url=settings.url,
            timeout=settings.timeout_s,
            max_retries=settings.retries,
            http_client=DefaultHttpxClient(trust_env=not alone),
        )

    def _clean(self, text: str) -> str:
        """Without the key, should a server repeat it. Placeholders such as ``EMPTY`` are no secrets."""
        return text.replace(self._key, "***") if self._key and len(self._key) >= 8 else text

    def messages(self, case: Case) -> list[Message]:
        """The question as it is put first."""
        return prompt.ask(case)

    def rule(self, case: Case) -> Ruling:
        """Ask, and ask again while the reply is not the JSON object asked for."""
        messages, replies = prompt.ask(case), list[str]()
        requests, used = 0, [0, 0]
        verdict = None
        for turn in range(self._settings.reasks + 1):
            if turn:
                messages = [*messages, *prompt.again(replies[-1])]
            body, tries = self._post(messages)
            requests += tries
            text = self._content(body)
            verdict = prompt.read(text)
            replies.append(self._clean(text))
            usage = body.get("usage")
            for i, name in enumerate(("prompt_tokens", "completion_tokens")):
                count = usage.get(name) if isinstance(usage, dict) else None
                used[i] += count if isinstance(count, int) else 0
            if verdict is not None:
                break
        return Ruling(verdict or "unreadable", messages, replies, requests, used[0], used[1])

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

    def _post(self, messages: list[Message]) -> tuple[dict[str, Any], int]:
        """(body, requests it took)."""
        import openai

        # Only what the settings name is sent, not what stands in the environment for another service.
        headers: dict[str, Any] = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
        if self._key is None:
            headers["Authorization"] = openai.omit
        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            raw = create(messages=messages, extra_headers=headers, **self._options)
        except openai.OpenAIError as error:
            # Without the chained error, which holds the request and so the key.
            raise LlinkError(told(error, self._settings, self._clean)) from None
        try:
            body = json.loads(raw.text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise self._no_completion()
        return body, raw.retries_taken + 1
