"""Clause templates: role slots with word forms, agreement, and optional parts.

``{who}`` writes the citation form of the word that fills the role ``who``; ``{who.erg}`` its form
named ``erg``; ``{verb:who}`` the form of the verb that agrees with ``who`` (the word filling
``who`` says which with its ``agree`` entry). ``[{adjective} ]`` is left out where the role
``adjective`` is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Word = Mapping[str, str]
"""Forms of one word by name; ``form`` is the citation form, ``agree`` what others agree with."""

_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_ROLE = re.compile(r"\{(\w+)(?:\.(\w+)|:(\w+))?\}")


def fill(template: str, roles: Mapping[str, Word]) -> str:
    """Write out ``template`` with the words of ``roles``.

    Raises:
        ValueError: a role or a form that the template names does not exist.
    """

    def optional(match: re.Match[str]) -> str:
        inside = match.group(1)
        named = [role.group(1) for role in _ROLE.finditer(inside)]
        return inside if all(name in roles for name in named) else ""

    def role(match: re.Match[str]) -> str:
        name, form, agrees_with = match.groups()
        try:
            word = roles[name]
            key = form or (roles[agrees_with]["agree"] if agrees_with else "form")
            return word[key]
        except KeyError as missing:
            raise ValueError(
                f"template {template!r}: {match.group(0)} needs {missing}, which "
                f"{'no role' if name not in roles else 'the word ' + repr(dict(roles[name]))} has"
            ) from None

    return _ROLE.sub(role, _OPTIONAL.sub(optional, template))
