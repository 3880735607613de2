"""Settings of the chat. The key and the passwords are no settings, so that nothing prints them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, field_validator

from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from llink_ray.settings import Section, configure

_MIN_PASSWORD_CHARACTERS = 12
_VISIBLE_ASCII = re.compile(r"[!-~]+")


class UiSettings(Section):
    """The chat in the browser."""

    api: str = Field(default="http://127.0.0.1:8000", min_length=1)
    """Address of the service, with or without ``/v1``."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on; another than loopback wants a login first."""
    hosts: tuple[str, ...] = ()
    """Names beside loopback's that the page may be asked for by, e.g. a proxy's; of use without a login."""
    port: int = Field(default=7_860, ge=0, le=65_535)
    """Port; 0 takes a free one."""
    root_path: str = Field(default="", pattern=r"^(/[^/?#\s]+)*$")
    """Prefix that a proxy in front takes off, e.g. ``/chat``."""
    key_environment: str = Field(default="LLINK_API_KEY", min_length=1)
    """Variable with the key for the service."""
    key_file: str | None = None
    """File with that key instead, on its first line."""
    login_environment: str = Field(default="LLINK_UI_LOGIN", min_length=1)
    """Variable with ``name:password,name:password`` of those who may in."""
    login_file: str | None = None
    """File with ``name:password`` instead, one a line."""
    votes: str | None = Field(default=None, min_length=1)
    """File to which votes and thumbs are added, with the conversation; none are kept without it."""
    concurrent: PositiveInt = 32
    """Answers on their way at once; more are turned away with a sentence."""
    waiting: PositiveInt = 128
    """Clicks that wait for their turn; more are turned away."""
    file_bytes: PositiveInt = 200_000
    """Bytes of a text file that is opened."""
    body_bytes: PositiveInt = 16_000_000
    """Bytes of a request; a browser sends its conversations along."""

    @field_validator("api")
    @classmethod
    def _check_address(cls, api: str) -> str:
        try:
            parts = urlsplit(api)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment:
            raise ValueError("is no address like http://127.0.0.1:8000")
        if "@" in parts.netloc:
            raise ValueError("has a name or password in it: the key goes into the variable LLINK_API_KEY")
        return api.rstrip("/")


def resolve(
    file: str | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> UiSettings:
    """Merge the settings file and ``KEY=VALUE`` assignments in order, and check the whole.

    Raises:
        LlinkError: an unknown key, an impossible value, or a chat open to a network without a login.
    """
    settings = configure.load_settings(UiSettings, file, assignments)
    api_key(settings, environment)
    if not logins(settings, environment) and not is_loopback(settings.host):
        raise LlinkError(
            f"host = {settings.host!r} lets other machines in, and there is no login: set login_file or the "
            f"variable {settings.login_environment} (name:password), or listen on 127.0.0.1"
        )
    return settings


def api_key(settings: UiSettings, environment: Mapping[str, str] = os.environ) -> str | None:
    """Read the key for the service; None where there is none.

    Raises:
        LlinkError: a file that cannot be read, or a key that no header can carry.
    """
    source = settings.key_file or f"the variable {settings.key_environment}"
    if settings.key_file is not None:
        lines = _read_lines(settings.key_file, "key_file")
        key = lines[0].strip() if lines else ""
        if not key:
            raise LlinkError(f"{source} holds no key: write it on the first line")
    else:
        key = environment.get(settings.key_environment, "").strip()
    if key and not _VISIBLE_ASCII.fullmatch(key):
        raise LlinkError(f"the key in {source} has blanks or letters that a header cannot carry: look at it")
    return key or None


def logins(settings: UiSettings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Read the passwords by name; empty where no login is needed.

    Raises:
        LlinkError: a file that cannot be read, or an entry that cannot be used.
    """
    if settings.login_file is not None:
        source, entries = settings.login_file, _read_lines(settings.login_file, "login_file")
    else:
        source = f"the variable {settings.login_environment}"
        entries = environment.get(settings.login_environment, "").split(",")
    passwords: dict[str, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, entries)), start=1):
        name, colon, password = entry.partition(":")
        if not colon or not name.strip():
            raise LlinkError(f"entry {number} of {source} is not name:password: write it so")
        if len(password) < _MIN_PASSWORD_CHARACTERS:
            raise LlinkError(
                f"the password of entry {number} of {source} has {len(password)} characters, and "
                f"{_MIN_PASSWORD_CHARACTERS} are the fewest: make one with 'openssl rand -hex 12'"
            )
        passwords[name.strip()] = password
    if settings.login_file is not None and not passwords:
        raise LlinkError(f"{source} has no name:password in it: write one a line")
    return passwords


def _read_lines(path: str, setting: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError as error:
        raise LlinkError(f"{path} cannot be read ({error.strerror}): look at {setting}") from None
    except UnicodeDecodeError:
        raise LlinkError(f"{path} is not UTF-8: save it as UTF-8") from None
