"""Keys from a file and from the environment, to a :class:`KeyRing`. No message shows a key."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, PositiveInt

from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from llink_ray.settings import Section, configure, typed_yaml
from serve.keys import ApiKey, Caller, KeyRing, digest_of, utc_now
from serve.settings import LimitSettings, ServeSettings

_log = logging.getLogger("llink_ray.serve")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_VISIBLE = re.compile(r"[!-~]+")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SHORTEST = 16


class _Row(Section):
    """One key of the file."""

    model_config = ConfigDict(hide_input_in_errors=True, strict=True)

    name: str
    key: str | None = None
    sha256: str | None = None
    expires: datetime | date | None = None
    requests_per_minute: PositiveInt | None = None
    concurrent: PositiveInt | None = None


def load(
    settings: ServeSettings,
    environment: Mapping[str, str] = os.environ,
    now: Callable[[], datetime] = utc_now,
) -> KeyRing:
    """All keys that the settings lead to.

    Raises:
        LlinkError: a key that cannot be used, or none at all on an address that other machines reach.
    """
    keys, limits = settings.keys, settings.limits
    entries = _from_file(keys.file, limits) if keys.file else []
    entries += _from_environment(keys.environment, environment.get(keys.environment, ""), limits)
    if not entries and not is_loopback(settings.http.host):
        raise LlinkError(
            f"http.host = {settings.http.host!r} lets other machines in, and there is no key in "
            f"{keys.file or 'keys.file'} or the variable {keys.environment}: add one, or listen on 127.0.0.1"
        )
    admin = environment.get(keys.admin_environment, "").strip()
    if admin:
        _require_usable(admin, f"the admin key in {keys.admin_environment}")
    anonymous = Caller("anonymous", limits.requests_per_minute, limits.concurrent)
    digest = digest_of(admin) if admin else None
    return KeyRing(entries, digest, keys.admin_environment, anonymous, now)


def _from_file(path: str, limits: LimitSettings) -> list[ApiKey]:
    file = Path(path)
    try:
        if file.stat().st_mode & stat.S_IROTH:
            _log.warning("key file %s can be read by everybody on this machine: chmod 600 it", path)
        rows = typed_yaml.load(file.read_text("utf-8"), list[_Row])
    except OSError as error:
        raise LlinkError(f"key file {path} cannot be read ({error.strerror}): look at keys.file") from None
    except UnicodeDecodeError:
        raise LlinkError(f"key file {path} is not UTF-8: save it as UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # what YAML says of it would show the line
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise LlinkError(f"key file {path} is not YAML{line}: look at it there") from None
    if not isinstance(rows, list | None):
        raise LlinkError(f"key file {path} must be a list like '- {{name: ada, key: …}}'")
    return [_entry(row, f"key {number} of {path}", limits) for number, row in enumerate(rows or [], start=1)]


def _entry(given: Any, where: str, limits: LimitSettings) -> ApiKey:
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise LlinkError(f"{where} is not a mapping like '{{name: ada, key: …}}': write it so")
    try:
        row = configure.checked(_Row, given)
    except LlinkError as error:
        raise LlinkError(f"{where}: {error}") from None
    if (row.key is None) == (row.sha256 is None):
        raise LlinkError(f"{where} has to have either key or sha256: give one of them")
    if row.sha256 is not None and not _DIGEST.fullmatch(row.sha256):
        raise LlinkError(f"{where}: sha256 is not 64 hexadecimal digits: sha256sum writes them")
    if row.key is not None:
        _require_usable(row.key, where)
    digest = digest_of(row.key) if row.key is not None else bytes.fromhex(row.sha256 or "")
    return ApiKey(
        _caller(row.name, where, limits, row.requests_per_minute, row.concurrent),
        digest,
        _moment(row.expires),
    )


def _from_environment(variable: str, value: str, limits: LimitSettings) -> list[ApiKey]:
    found = []
    for number, part in enumerate((p for p in value.split(",") if p.strip()), start=1):
        name, colon, key = part.strip().partition(":")
        where = f"key {number} in {variable}"
        if not colon:
            name, key = f"env-{number}", name
        _require_usable(key, where)
        found.append(ApiKey(_caller(name, where, limits), digest_of(key)))
    return found


def _caller(
    name: str, where: str, limits: LimitSettings, per_minute: int | None = None, at_once: int | None = None
) -> Caller:
    if not _NAME.fullmatch(name):
        raise LlinkError(f"the name of {where} may have letters, digits and ._- and at most 64 of them")
    return Caller(name, per_minute or limits.requests_per_minute, at_once or limits.concurrent)


def _require_usable(key: str, where: str) -> None:
    if len(key) < _SHORTEST:
        what = "is empty" if not key else f"has {len(key)} characters"
        raise LlinkError(
            f"{where} {what}, and {_SHORTEST} are the fewest: make one with 'openssl rand -hex 24'"
        )
    if not _VISIBLE.fullmatch(key):
        raise LlinkError(
            f"{where} has blanks or letters that a header cannot carry: use ASCII letters and digits"
        )


def _moment(expires: datetime | date | None) -> datetime | None:
    """A day counts to its end; without a zone it is meant in UTC."""
    if expires is None:
        return None
    if not isinstance(expires, datetime):
        return datetime.combine(expires + timedelta(days=1), time(), UTC)
    return expires if expires.tzinfo else expires.replace(tzinfo=UTC)
