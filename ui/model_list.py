"""The models that the API lists, what the menus offer of them, and which languages a text is in."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from llink_ray.text.languages import language_of
from ui.api_client import ApiClient, ApiError, Model

AUTO = "llink"
"""Id of the model that detects the language of each span."""
_REFRESH_SECONDS = 5.0
_OLDER_VERSIONS = 3
"""That are offered for comparison."""
Choice = tuple[str, str]
"""Label of a menu entry, and the model's id."""


class ModelList:
    """The models, read anew when they are older than some seconds."""

    def __init__(self, api: ApiClient) -> None:
        self.api = api
        self.models: list[Model] = []
        """As they were last read."""
        self._refreshed_at = float("-inf")

    async def refresh(self) -> ApiError | None:
        """Read the list again if it is old; returns why that failed."""
        if time.monotonic() - self._refreshed_at < _REFRESH_SECONDS:
            return None
        try:
            self.models = await self.api.models()
        except ApiError as error:
            return error
        self._refreshed_at = time.monotonic()
        return None

    @property
    def codes(self) -> list[str]:
        """Codes of the served languages."""
        return _codes(self.models)

    @property
    def phrasebook_codes(self) -> list[str]:
        """Codes of languages whose model knows its phrasebook only."""
        return _codes([model for model in self.models if model.is_phrasebook])

    def max_sentences(self, code: str | None) -> int | None:
        """Most sentences of a language in one message; None where it is not known."""
        return next((model.max_sentences for model in self.models if code and model.language == code), None)

    async def spans(self, text: str) -> list[dict[str, Any]]:
        """The languages of a text as messages store them; empty where the API does not answer."""
        if not text.strip():
            return []
        with contextlib.suppress(ApiError):  # the next request reports it
            codes = self.codes
            return [
                {**span.model_dump(), "served": span.language in codes}
                for span in await self.api.detect(text)
            ]
        return []

    def readings(self) -> list[Choice]:
        """How a message can be read: detected, as one language, or by the base model as plain text."""
        choices = [("Find the language", AUTO)]
        choices += [(f"Read as {_name(model)}", model.id) for model in self.models if model.language]
        return choices + [(f"Base model ({name}), text as it stands", name) for name in self._base]

    def comparisons(self) -> list[Choice]:
        """What an answer can be compared with."""
        choices = [(f"Base model ({name}), nothing injected", name) for name in self._base]
        choices.append(("llink, finds the language", AUTO))
        for model in self.models:
            if model.language:
                choices.append((f"{_name(model)}, newest ({model.version})", model.id))
                choices += [(f"{_name(model)}, {old}", f"{model.id}@{old}") for old in _older(model.version)]
        return choices

    def label(self, model_id: str) -> str:
        """The name of a model above its answer."""
        choices = (*self.comparisons(), *self.readings())
        return next((label for label, value in choices if value == model_id), model_id)

    @property
    def _base(self) -> list[str]:
        """The id of the unmodified decoder, if there is one."""
        return [model.id for model in self.models if model.owned_by == "base"][:1]


def _codes(models: list[Model]) -> list[str]:
    return list(dict.fromkeys(model.language for model in models if model.language))


def _older(version: str | None) -> list[str]:
    """The versions before ``version``, the newest first."""
    digits = (version or "")[1:]
    if not digits.isdecimal():
        return []
    newest = int(digits) - 1
    return [f"v{number:0{len(digits)}d}" for number in range(newest, max(0, newest - _OLDER_VERSIONS), -1)]


def _name(model: Model) -> str:
    language = language_of(model.language)
    if language is None:
        return model.name or str(model.language)
    return f"{language.name} · {language.own_name}" if language.name != language.own_name else language.name
