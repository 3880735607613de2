"""YAML read by the types it is for: where text is wanted, text stays what was written.

YAML 1.1 guesses the type of a plain scalar: ``no`` becomes false, ``0123`` the number 83, ``1:30`` 90, while
``1e-4`` stays text. A setting knows its type, so nothing has to be guessed.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

_NULL = "tag:yaml.org,2002:null"
_BOOLEAN = "tag:yaml.org,2002:bool"
_QUOTES = ("'", '"')
_KINDS = (str, bool, int, float)


def load(text: str, wanted: Any) -> Any:
    """The document in ``text`` for the type ``wanted``; what does not fit it is left to the type's own check.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, wanted)
    except RecursionError:
        raise yaml.YAMLError("a mapping or list that holds itself") from None
    finally:
        loader.dispose()


def read_value(text: str, wanted: Any) -> Any:
    """What follows a ``KEY=``: for settings of text the text itself, else YAML.

    Text in quotes is what stands between them. A setting that may be nothing is so by ``null`` or no text at
    all, one that may also be a list is one in brackets.

    Raises:
        yaml.YAMLError: it is not YAML, where it has to be.
    """
    members = _members(wanted)
    if str not in members:
        return load(text, wanted)
    bare = text.strip()
    if bare[:1] in _QUOTES:
        with suppress(ValueError):  # as programs write it: YAML takes no pairs of surrogates
            return str(json.loads(bare))
        with suppress(yaml.YAMLError):
            node = yaml.compose(bare, yaml.SafeLoader)
            if isinstance(node, yaml.ScalarNode):
                return node.value
    if type(None) in members and bare in ("", "~", "null", "Null", "NULL"):
        return None
    if bare.startswith("[") and any(_is_list(member) for member in members):
        return load(text, wanted)
    return bare if str not in _flat(wanted) else text


def type_at(model: type[BaseModel], path: Sequence[str]) -> tuple[list[str], Any]:
    """The keys that ``path`` leads through, and the type at its end; ``Any`` where there is no such setting.

    A mapping's own keys may have dots: they are one key to its end.
    """
    wanted: Any = model
    for place, name in enumerate(path):
        fields = wanted.model_fields if isinstance(wanted, type) and issubclass(wanted, BaseModel) else {}
        if name in fields:
            wanted = fields[name].annotation
        elif get_origin(wanted) is dict:
            return [*path[:place], ".".join(path[place:])], get_args(wanted)[1]
        else:
            return list(path), Any
    return list(path), wanted


def _flat(wanted: Any) -> list[Any]:
    """The types of a union, each without its constraints."""
    origin = get_origin(wanted)
    if origin is Annotated:
        return _flat(get_args(wanted)[0])
    if origin in (Union, types.UnionType):
        return [one for member in get_args(wanted) for one in _flat(member)]
    return [wanted]


def _members(wanted: Any) -> list[Any]:
    """The same, with a choice of words taken for text, one of numbers for numbers."""
    found: list[Any] = []
    for one in _flat(wanted):
        found += [type(value) for value in get_args(one)] if get_origin(one) is Literal else [one]
    return found


def _is_list(wanted: Any) -> bool:
    return (get_origin(wanted) or wanted) in (list, tuple, set, frozenset)


def _value(loader: yaml.SafeLoader, node: yaml.Node, wanted: Any) -> Any:
    members = _members(wanted)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node, members)
    if isinstance(node, yaml.SequenceNode):
        for one in filter(_is_list, members):
            inner = _element_types(one, len(node.value))
            return [_value(loader, item, kind) for item, kind in zip(node.value, inner, strict=True)]
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        for one in members:
            if isinstance(one, type) and issubclass(one, BaseModel):
                return _mapping(loader, node, {name: f.annotation for name, f in one.model_fields.items()})
            if get_origin(one) is dict and _flat(get_args(one)[0]) == [str]:
                return _mapping(loader, node, {}, get_args(one)[1])
    return _guessed(loader, node)


def _mapping(
    loader: yaml.SafeLoader, node: yaml.MappingNode, types_of: Mapping[str, Any], other: Any = Any
) -> dict[str, Any]:
    return {
        str(key.value): _value(loader, value, types_of.get(str(key.value), other))
        for key, value in node.value
    }


def _element_types(wanted: Any, count: int) -> list[Any]:
    given = get_args(wanted)
    if not given:
        return [Any] * count
    if get_origin(wanted) is tuple and given[-1] is not Ellipsis:
        return [*given, *[Any] * count][:count]
    return [given[0]] * count


def _scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode, members: list[Any]) -> Any:
    if (
        node.tag == _NULL
        and node.style is None
        and (type(None) in members or (node.value and str not in members))
    ):
        return None
    if str in members or any(_is_list(one) for one in members):
        return node.value  # one thing where a list is wanted is told as it was written
    if node.style is None and members and all(one in (*_KINDS, type(None)) for one in members):
        boolean = node.tag == _BOOLEAN and bool in members
        return _guessed(loader, node) if boolean else _number(node.value)
    return _guessed(loader, node)


def _number(text: str) -> Any:
    """A number as people write one; other text as it is, which the type refuses."""
    for read in (int, lambda given: int(given, 0), float):
        with suppress(ValueError):
            return read(text)
    with suppress(ValueError):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _guessed(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_document(node)
