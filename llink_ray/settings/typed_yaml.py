"""YAML that is read by the types of settings, so that text stays as written.

YAML 1.1 guesses the type of a plain scalar: ``no`` becomes false, ``0123`` the number 83, ``1:30`` 90, while
``1e-4`` stays text. Settings have types, so nothing needs to be guessed.
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


def load(text: str, value_type: Any) -> Any:
    """Read a document for a type; values that do not fit are left to the type's own validation.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, value_type)
    except RecursionError:
        raise yaml.YAMLError("a mapping or list that holds itself") from None
    finally:
        loader.dispose()


def read_value(text: str, value_type: Any) -> Any:
    """What follows a ``KEY=``: for settings of text the text itself, else YAML.

    Text in quotes is what stands between them. A setting that may be nothing is so by ``null`` or no text at
    all, one that may also be a list is one in brackets.

    Raises:
        yaml.YAMLError: it is not YAML, where it has to be.
    """
    members = _members(value_type)
    if str not in members:
        return load(text, value_type)
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
        return load(text, value_type)
    return bare if str not in _flat(value_type) else text


def type_at(model: type[BaseModel], path: Sequence[str]) -> tuple[list[str], Any]:
    """The keys that ``path`` leads through, and the type at its end; ``Any`` where there is no such setting.

    A mapping's own keys may have dots: they are one key to its end.
    """
    value_type: Any = model
    for depth, name in enumerate(path):
        is_model = isinstance(value_type, type) and issubclass(value_type, BaseModel)
        fields = value_type.model_fields if is_model else {}
        if name in fields:
            value_type = fields[name].annotation
        elif get_origin(value_type) is dict:
            return [*path[:depth], ".".join(path[depth:])], get_args(value_type)[1]
        else:
            return list(path), Any
    return list(path), value_type


def _flat(value_type: Any) -> list[Any]:
    """The types of a union, each without its constraints."""
    origin = get_origin(value_type)
    if origin is Annotated:
        return _flat(get_args(value_type)[0])
    if origin in (Union, types.UnionType):
        return [flat for member in get_args(value_type) for flat in _flat(member)]
    return [value_type]


def _members(value_type: Any) -> list[Any]:
    """The same, with a choice of words taken for text, one of numbers for numbers."""
    members: list[Any] = []
    for member in _flat(value_type):
        members += map(type, get_args(member)) if get_origin(member) is Literal else [member]
    return members


def _is_list(value_type: Any) -> bool:
    return (get_origin(value_type) or value_type) in (list, tuple, set, frozenset)


def _value(loader: yaml.SafeLoader, node: yaml.Node, value_type: Any) -> Any:
    members = _members(value_type)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node, members)
    if isinstance(node, yaml.SequenceNode):
        for member in filter(_is_list, members):
            inner = _element_types(member, len(node.value))
            return [_value(loader, item, kind) for item, kind in zip(node.value, inner, strict=True)]
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        for member in members:
            if isinstance(member, type) and issubclass(member, BaseModel):
                return _mapping(loader, node, {name: f.annotation for name, f in member.model_fields.items()})
            if get_origin(member) is dict and _flat(get_args(member)[0]) == [str]:
                return _mapping(loader, node, {}, get_args(member)[1])
    return _guessed(loader, node)


def _mapping(
    loader: yaml.SafeLoader, node: yaml.MappingNode, types_of: Mapping[str, Any], other: Any = Any
) -> dict[str, Any]:
    return {
        str(key.value): _value(loader, value, types_of.get(str(key.value), other))
        for key, value in node.value
    }


def _element_types(value_type: Any, count: int) -> list[Any]:
    arguments = get_args(value_type)
    if not arguments:
        return [Any] * count
    if get_origin(value_type) is tuple and arguments[-1] is not Ellipsis:
        return [*arguments, *[Any] * count][:count]
    return [arguments[0]] * count


def _scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode, members: list[Any]) -> Any:
    if (
        node.tag == _NULL
        and node.style is None
        and (type(None) in members or (node.value and str not in members))
    ):
        return None
    if str in members or any(_is_list(member) for member in members):
        return node.value  # one thing where a list is wanted is told as it was written
    if node.style is None and members and all(member in (*_KINDS, type(None)) for member in members):
        boolean = node.tag == _BOOLEAN and bool in members
        return _guessed(loader, node) if boolean else _number(node.value)
    return _guessed(loader, node)


def _number(text: str) -> Any:
    """A number as people write one; other text as it is, which the type refuses."""
    for read in (int, lambda arguments: int(arguments, 0), float):
        with suppress(ValueError):
            return read(text)
    with suppress(ValueError):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _guessed(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_document(node)
