"""What the API offers now, and what it says of a text."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from ui import models
from ui.api import Api, ApiError, Model

SECONDS = 5.0
"""For so long the list of models is taken to be what it was."""


class Served:
    """The models, looked up again where they may have changed."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.models: list[Model] = []
        """As they were last seen."""
        self._seen = float("-inf")

    async def look(self) -> ApiError | None:
        """Look; why that could not be done, if so."""
        if time.monotonic() - self._seen < SECONDS:
            return None
        try:
            self.models = list(await self.api.models())
        except ApiError as error:
            return error
        self._seen = time.monotonic()
        return None

    @property
    def codes(self) -> list[str]:
        """Of the taught languages."""
        return models.served(self.models)

    @property
    def beginners(self) -> list[str]:
        """Codes of those that know their phrasebook only."""
        return models.served([model for model in self.models if model.phrasebook])

    def most(self, code: str | None) -> int | None:
        """Sentences of a language that one message may hold; None where nobody says."""
        return next((model.max_sentences for model in self.models if code and model.language == code), None)

    async def spans(self, text: str) -> list[dict[str, Any]]:
        """The languages of a text as messages keep them; none where the API does not say."""
        if not text.strip():
            return []
        with contextlib.suppress(ApiError):  # whoever asks next is told what is wrong
            return [
                {
                    "start": span.start,
                    "end": span.end,
                    "language": span.code,
                    "name": span.name,
                    "own_name": span.own_name,
                    "confidence": span.confidence,
                    "served": span.code in self.codes,
                }
                for span in await self.api.detect(text)
            ]
        return []
