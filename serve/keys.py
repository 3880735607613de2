"""Who asks: bearer keys with names, compared in constant time, and never shown."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llink_ray.errors import LlinkError
from serve.errors import ApiError

CALLER = "llink_ray.caller"
"""Key of a request's scope under which its :class:`Caller` stands, once it was let in."""


@dataclass(frozen=True)
class Caller:
    """Somebody who may ask, and how much."""

    name: str
    requests_per_minute: int | None = None
    concurrent: int | None = None


ANONYMOUS = Caller("anonymous")
"""Everybody, where there are no keys."""


@dataclass(frozen=True)
class ApiKey:
    """A key; of the key itself only its SHA-256 is kept."""

    caller: Caller
    digest: bytes = field(repr=False)
    expires: datetime | None = None
    """From this moment on it is refused."""


def digest_of(key: str) -> bytes:
    """What is compared: of one length for every key, so that comparing tells nothing of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def utc_now() -> datetime:
    """The moment, with its zone."""
    return datetime.now(UTC)


class KeyRing:
    """All keys."""

    def __init__(
        self,
        entries: Iterable[ApiKey] = (),
        admin: bytes | None = None,
        admin_variable: str = "LLINK_ADMIN_KEY",
        anonymous: Caller = ANONYMOUS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """``admin`` is the digest of the key of the admin endpoints.

        Raises:
            LlinkError: two keys that are the same, or that have one name.
        """
        self._entries, self._admin, self._admin_variable = tuple(entries), admin, admin_variable
        self._anonymous, self._now = anonymous, now
        by_digest: dict[bytes, str] = {}
        names: set[str] = set()
        for entry in self._entries:
            name = entry.caller.name
            if name in names:
                raise LlinkError(f"two API keys are named {name!r}: give each a name of its own")
            if entry.digest in by_digest:
                raise LlinkError(
                    f"the API keys {by_digest[entry.digest]!r} and {name!r} are the same: give each its own"
                )
            if entry.digest == admin:
                raise LlinkError(f"the API key {name!r} is the admin key too: give admins one of their own")
            names.add(name)
            by_digest[entry.digest] = name

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(entry.caller.name for entry in self._entries) or 'no keys'})"

    def __len__(self) -> int:
        return len(self._entries)

    def authenticate(self, header: str | None) -> Caller:
        """Who an ``Authorization`` header stands for.

        Raises:
            ApiError: 401, for no key, an unknown one, or one that has expired.
        """
        if not self._entries:
            return self._anonymous
        given = digest_of(_bearer(header))
        found: ApiKey | None = None
        for entry in self._entries:  # all of them, so that the time does not tell which one it is
            if hmac.compare_digest(entry.digest, given):
                found = entry
        if found is None:
            raise ApiError.unauthorized("this API key is not known here: look at it, or ask for one")
        if found.expires is not None and self._now() >= found.expires:
            raise ApiError.unauthorized(
                f"this API key expired on {found.expires:%Y-%m-%d}: ask for a new one", "expired_api_key"
            )
        return found.caller

    def require_admin(self, header: str | None) -> None:
        """Let admins pass.

        Raises:
            ApiError: 401 without a key, 403 with another one, or where no admin key was set.
        """
        if self._admin is None:
            raise ApiError.forbidden(
                "the admin endpoints are closed: start the service with an admin key in the variable "
                f"{self._admin_variable}"
            )
        given = digest_of(_bearer(header))
        if not hmac.compare_digest(self._admin, given):
            raise ApiError.forbidden("this is not the admin key")


def _bearer(header: str | None) -> str:
    scheme, _, key = (header or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError.unauthorized("there is no API key: send the header 'Authorization: Bearer <key>'")
    return key.strip()
