"""Write docs/settings.md from the settings of training (with the presets), of the service and of the chat.

python docs/write_settings.py            # or: make docs
python docs/write_settings.py --check    # only say whether the file is current
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llink_ray.settings import Settings
from llink_ray.settings.configure import preset, presets

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # serve/ and ui/ are not installed

from serve.settings import ServeSettings
from ui.settings import UiSettings

PAGE = Path(__file__).with_name("settings.md")

HEAD = """\
# Settings

Written by `make docs` from `llink_ray/settings/schema.py`, `llink_ray/presets/`, `serve/settings.py` and
`ui/settings.py`; edit those.

Settings come in layers: preset, then `--settings FILE` (YAML), then flags. Any key below goes into the file,
or on the command line as `--set KEY=VALUE`, e.g. `--set stage_a.steps=2000`. The setting's type
says how a value is read: text is what stands there (`no`, `0123`, `query: ` with its blank), quotes around it
taken off; all else is YAML, `null` for nothing, `[0.9, 0.98]` for a list. Unknown keys and impossible values
are refused before any work is done. The settings that a run was started with are printed at its start and
kept in its `run.json`.

The last column has what the presets say, where they say something: {legend}.
"""


SERVICE = """

# The service

Written from `serve/settings.py`. `python -m serve` takes a file with `--settings` and single keys with
`--set`; `serve deploy` has them under `args` of `deploy/serve.yaml`.
"""

CHAT = """

# The chat

Written from `ui/settings.py`. `python -m ui` takes a file with `--settings` and single keys with `--set`.
"""


def page() -> str:
    """The whole of docs/settings.md."""
    letters = {name: "".join(word[0].upper() for word in name.split("-")) for name in presets()}
    if len(set(letters.values())) < len(letters):
        letters = {name: name for name in letters}
    trees = {letter: preset(name) for name, letter in letters.items()}
    legend = ", ".join(f"**{letter}** `{name}`" for name, letter in letters.items())
    parts = [HEAD.replace("{legend}", legend), *_section("", Settings, "One run as a whole.", trees)]
    for key, model, told in _sections(Settings, ""):
        parts += _section(key, model, told, trees)
    parts.append(SERVICE)
    parts += _section("", ServeSettings, "The service as a whole.", {})
    for key, model, told in _sections(ServeSettings, ""):
        parts += _section(key, model, told, {})
    parts.append(CHAT)
    parts += _section("", UiSettings, "The chat as a whole.", {})
    return "\n".join(parts).rstrip() + "\n"


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel], str]]:
    """(key, model, what it says of itself) of every group, outer ones first."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield f"{prefix}{name}", inner, (inner.__doc__ or "").strip()
            yield from _sections(inner, f"{prefix}{name}.")


def _section(key: str, model: type[BaseModel], told: str, trees: dict[str, Any]) -> list[str]:
    whole = Settings if trees else UiSettings if model is UiSettings else ServeSettings
    rows, defaults = [], whole().model_dump()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        full = f"{key}.{name}" if key else name
        found = {letter: _at(tree, full) for letter, tree in trees.items()}
        said = ", ".join(f"{letter} {_shown(value)}" for letter, value in found.items() if value is not ...)
        what = " ".join((field.description or "").split()).replace("``", "`").replace("|", "\\|")
        default = _shown(_at(defaults, full))
        presets_say = f" {said} |" if trees else ""
        rows.append(f"| `{full}` | {default} | {_allowed(field)} | {what} |{presets_say}")
    last = (" presets |", "---|") if trees else ("", "")
    head = [f"| key | default | values | what it is |{last[0]}", f"|---|---|---|---|{last[1]}"]
    return [f"\n## {key or 'Top'}\n", f"{told}\n", *head, *rows]


def _at(tree: Any, key: str) -> Any:
    """The value at a key with dots, or ``...``."""
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return ...
        tree = tree[part]
    return tree


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"`[{', '.join(str(v) for v in value)}]`"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, int) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """Type and bounds in words."""
    annotation: Any = field.annotation
    metadata, choices = list(field.metadata), [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    nothing = " or nothing" if type(None) in get_args(annotation) else ""
    words = []
    for choice in choices:
        if hasattr(choice, "__metadata__"):  # a type that brings its bounds, such as PositiveInt
            metadata += choice.__metadata__
            choice = choice.__origin__
        words.append(_words(choice))
    return f"{' or '.join(words)} {', '.join(_bounds(metadata))}".strip() + nothing


def _bounds(metadata: list[Any]) -> list[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return [f"{sign} {getattr(m, n):g}" for m in metadata for n, sign in signs.items() if hasattr(m, n)]


def _words(annotation: Any) -> str:
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{a}`" for a in arguments)
    if get_origin(annotation) is tuple:
        if Ellipsis in arguments:
            return "list of texts" if str in arguments else "list of whole numbers"
        return f"{len(arguments)} numbers"
    if get_origin(annotation) is dict:
        return "texts by name"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}[annotation]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit("docs/settings.md is not what the settings say: run `make docs`")
    else:
        PAGE.write_text(page(), encoding="utf-8")
