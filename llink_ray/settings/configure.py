"""Merge preset, file and flags into complete, validated :class:`Settings`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, typed_yaml

Tree = dict[str, Any]
Checked = TypeVar("Checked", bound=BaseModel)


def presets() -> list[str]:
    """Names of the presets in this package."""
    folder = resources.files("llink_ray.presets")
    return sorted(
        f.name.removesuffix(".yaml")
        for f in folder.iterdir()
        if f.name.endswith(".yaml") and f.name[0] != "."
    )


def preset(name: str) -> Tree:
    """One preset as a tree of settings.

    Raises:
        LlinkError: no such preset.
    """
    if name not in presets():
        raise LlinkError(f"there is no preset {name!r}: choose one of {', '.join(presets())}")
    text = resources.files("llink_ray.presets").joinpath(f"{name}.yaml").read_text("utf-8")
    return _parse(text, name, Settings)


def read_file(path: str, model: type[BaseModel] = Settings) -> Tree:
    """A settings file (YAML), as ``--settings`` takes it; values are read by the types of ``model``.

    Raises:
        LlinkError: missing, a directory, not YAML, or not a mapping.
    """
    file = Path(path)
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "does not exist"
        raise LlinkError(f"settings file {path} {what}: give a YAML file")
    try:
        return _parse(file.read_text("utf-8"), path, model)
    except OSError as error:
        raise LlinkError(f"settings file {path} cannot be read ({error.strerror}): look at it") from None
    except UnicodeDecodeError as error:
        raise LlinkError(
            f"settings file {path} is not UTF-8 (byte {error.start}): save it as UTF-8"
        ) from None


def _parse(text: str, where: str, model: type[BaseModel]) -> Tree:
    try:
        tree = typed_yaml.load(text, model)
    except yaml.YAMLError as error:
        raise LlinkError(f"settings {where} are not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise LlinkError(f"settings {where} must be a mapping like 'slots: {{count: 8}}'")
    return tree


def assignment(text: str, model: type[BaseModel] = Settings) -> Tree:
    """Parse ``slots.count=4`` into a tree. Its type in ``model`` decides how the value is read: text
    as it is, all else as YAML.

    Raises:
        LlinkError: no ``=`` or no key, or a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise LlinkError(f"--set {text!r} is not KEY=VALUE: write e.g. --set slots.count=4")
    path, value_type = typed_yaml.type_at(model, key.strip().split("."))
    try:
        tree: Any = typed_yaml.read_value(value.lstrip() if key != key.rstrip() else value, value_type)
    except yaml.YAMLError:
        raise LlinkError(f"--set {text!r}: the value is not YAML") from None
    for name in reversed(path):
        tree = {name: tree}
    result: Tree = tree
    return result


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """``base`` with the values of ``over``; sections are merged."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def resolve(*layers: Mapping[str, Any]) -> Settings:
    """Merge the layers in order and validate the whole.

    Raises:
        LlinkError: an unknown key (with the nearest known ones) or an impossible value, naming the flag.
    """
    return validated(Settings, *layers)


def validated(model: type[Checked], *layers: Mapping[str, Any]) -> Checked:
    """The same for any model of settings."""
    tree: Tree = {}
    for layer in layers:
        tree = merge(tree, layer)
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        shown = not model.model_config.get("hide_input_in_errors", False)
        messages = [_sentence(item, model) for item in error.errors(include_input=shown)]
        raise LlinkError("; ".join(messages)) from None


def load_settings(model: type[Checked], file: str | None, assignments: Sequence[str]) -> Checked:
    """Merge a settings file and ``KEY=VALUE`` assignments in order, and validate the whole."""
    layers = [read_file(file, model)] if file is not None else []
    return validated(model, *layers, *(assignment(text, model) for text in assignments))


def _sentence(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, all_keys(model), n=3, cutoff=0.5)
        last = key.rsplit(".", 1)[-1]
        near += [k for k in all_keys(model) if k.rsplit(".", 1)[-1] == last and k not in near]
        hint = f": did you mean {' or '.join(near)}?" if near else ": `--help` and docs/settings.md list them"
        return f"unknown setting {key!r}{hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    value_text = f" = {item['input']!r}" if "input" in item else ""
    return f"{key}{value_text}: {message}" if key else message


def all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of a setting, with dots."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += all_keys(inner, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def layers(name: str, file: str | None, assignments: Sequence[str]) -> list[Tree]:
    """The layers of a command line in order: preset, file, ``--set`` flags."""
    tree_layers = [{**preset(name), "preset": name}]
    if file is not None:
        tree_layers.append(read_file(file))
    return [*tree_layers, *(assignment(text) for text in assignments)]
