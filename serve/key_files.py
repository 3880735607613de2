"""API keys from a file and from the environment. No message shows a key."""

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
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_MIN_LENGTH = 16


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
    """All keys that the settings name.

    Raises:
        LlinkError: a key that cannot be used, or none at all on an address that other machines reach.
    """
    source, limits = settings.keys, settings.limits
    keys = _from_file(source.file, limits) if source.file else []
    keys += _from_environment(source.environment, environment.get(source.environment, ""), limits)
    if not keys and not is_loopback(settings.http.host):
        raise LlinkError(
            f"http.host = {settings.http.host!r} lets other machines in, and there is no key in "
            f"{source.file or 'keys.file'} or the variable {source.environment}: add one, or listen on "
            "127.0.0.1"
        )
    admin = environment.get(source.admin_environment, "").strip()
    if admin:
        _require_usable(admin, f"the admin key in {source.admin_environment}")
    anonymous = Caller("anonymous", limits.requests_per_minute, limits.concurrent)
    return KeyRing(keys, digest_of(admin) if admin else None, source.admin_environment, anonymous, now)


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
    except (yaml.YAMLError, ValueError) as error:  # YAML's own message would show the line
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise LlinkError(f"key file {path} is not YAML{line}: look at it there") from None
    if not isinstance(rows, list | None):
        raise LlinkError(f"key file {path} must be a list like '- {{name: ada, key: …}}'")
    return [
        _from_row(row, f"key {number} of {path}", limits) for number, row in enumerate(rows or [], start=1)
    ]


def _from_row(value: Any, source: str, limits: LimitSettings) -> ApiKey:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise LlinkError(f"{source} is not a mapping like '{{name: ada, key: …}}': write it so")
    try:
        row = configure.validated(_Row, value)
    except LlinkError as error:
        raise LlinkError(f"{source}: {error}") from None
    if (row.key is None) == (row.sha256 is None):
        raise LlinkError(f"{source} has to have either key or sha256: give one of them")
    if row.sha256 is not None and not _SHA256.fullmatch(row.sha256):
        raise LlinkError(f"{source}: sha256 is not 64 hexadecimal digits: sha256sum writes them")
    if row.key is not None:
        _require_usable(row.key, source)
    digest = digest_of(row.key) if row.key is not None else bytes.fromhex(row.sha256 or "")
    expires = row.expires
    if expires is not None and not isinstance(expires, datetime):  # a day counts to its end
        expires = datetime.combine(expires + timedelta(days=1), time(), UTC)
    elif expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return ApiKey(_caller(row.name, source, limits, row.requests_per_minute, row.concurrent), digest, expires)


def _from_environment(variable: str, value: str, limits: LimitSettings) -> list[ApiKey]:
    keys = []
    for number, part in enumerate(filter(str.strip, value.split(",")), start=1):
        name, colon, key = part.strip().partition(":")
        source = f"key {number} in {variable}"
        if not colon:
            name, key = f"env-{number}", name
        _require_usable(key, source)
        keys.append(ApiKey(_caller(name, source, limits), digest_of(key)))
    return keys


def _caller(
    name: str,
    source: str,
    limits: LimitSettings,
    requests_per_minute: int | None = None,
    concurrent: int | None = None,
) -> Caller:
    if not _NAME.fullmatch(name):
        raise LlinkError(f"the name of {source} may have letters, digits and ._- and at most 64 of them")
    return Caller(name, requests_per_minute or limits.requests_per_minute, concurrent or limits.concurrent)


def _require_usable(key: str, source: str) -> None:
    if len(key) < _MIN_LENGTH:
        what = f"has {len(key)} characters" if key else "is empty"
        raise LlinkError(
            f"{source} {what}, and {_MIN_LENGTH} are the fewest: make one with 'openssl rand -hex 24'"
        )
    if not _VISIBLE_ASCII.fullmatch(key):
        raise LlinkError(
            f"{source} has blanks or letters that a header cannot carry: use ASCII letters and digits"
        )
