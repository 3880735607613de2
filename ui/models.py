"""What the menus offer, from the models that the API lists."""

from __future__ import annotations

from collections.abc import Sequence

from llink_ray.text.languages import language_of
from ui.api import Model

AUTO = "llink"
"""The model that finds the language of each stretch."""
_OLDER = 3
"""Versions before the present one that are offered."""
Choice = tuple[str, str]
"""What a menu shows, and the model's id."""


def served(models: Sequence[Model]) -> list[str]:
    """Codes of the taught languages."""
    return list(dict.fromkeys(model.language for model in models if model.language))


def base(models: Sequence[Model]) -> str | None:
    """The untouched decoder's id."""
    return next((model.id for model in models if model.owned_by == "base"), None)


def readings(models: Sequence[Model]) -> list[Choice]:
    """How a message may be read: by itself, as one language, or by the base as it stands."""
    found: list[Choice] = [("Find the language", AUTO)]
    for model in models:
        if model.language:
            found.append((f"Read as {_named(model)}", model.id))
    if name := base(models):
        found.append((f"Base model ({name}), text as it stands", name))
    return found


def others(models: Sequence[Model]) -> list[Choice]:
    """What an answer may be compared with."""
    found: list[Choice] = []
    if name := base(models):
        found.append((f"Base model ({name}), nothing injected", name))
    found.append(("llink, finds the language", AUTO))
    for model in models:
        if not model.language:
            continue
        found.append((f"{_named(model)}, newest ({model.version})", model.id))
        found += [
            (f"{_named(model)}, {version}", f"{model.id}@{version}") for version in _before(model.version)
        ]
    return found


def label(models: Sequence[Model], model_id: str) -> str:
    """How a column or an answer names its model."""
    return next(
        (shown for shown, value in (*others(models), *readings(models)) if value == model_id), model_id
    )


def _before(version: str | None) -> list[str]:
    digits = (version or "")[1:]
    if not digits.isdecimal():
        return []
    number = int(digits)
    return [f"v{older:0{len(digits)}d}" for older in range(number - 1, max(0, number - 1 - _OLDER), -1)]


def _named(model: Model) -> str:
    language = language_of(model.language)
    if language is None:
        return model.name or str(model.language)
    return f"{language.name} · {language.own_name}" if language.name != language.own_name else language.name
