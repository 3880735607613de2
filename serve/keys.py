"""API keys: named bearer keys, compared in constant time and never shown."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llink_ray.errors import LlinkError
from serve.errors import ApiError

CALLER_KEY = "llink_ray.caller"
"""Scope key of the request's :class:`Caller`."""


@dataclass(frozen=True)
class Caller:
    """The owner of a key, with its limits."""

    name: str
    requests_per_minute: int | None = None
    concurrent: int | None = None


ANONYMOUS = Caller("anonymous")
"""Everybody, where there are no keys."""


@dataclass(frozen=True)
class ApiKey:
    """A key, of which only the SHA-256 is kept."""

    caller: Caller
    digest: bytes = field(repr=False)
    expires: datetime | None = None
    """It is refused from this moment on."""


def digest_of(key: str) -> bytes:
    """SHA-256. Digests are of one length, so comparing them tells nothing of the keys."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def utc_now() -> datetime:
    """The time with its zone."""
    return datetime.now(UTC)


class KeyRing:
    """All keys."""

    def __init__(
        self,
        keys: Iterable[ApiKey] = (),
        admin: bytes | None = None,
        admin_variable: str = "LLINK_ADMIN_KEY",
        anonymous: Caller = ANONYMOUS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """``admin`` is the digest of the key of the admin endpoints.

        Raises:
            LlinkError: two keys that are the same, or that have one name.
        """
        self._keys, self._admin, self._admin_variable = tuple(keys), admin, admin_variable
        self._anonymous, self._now = anonymous, now
        by_digest: dict[bytes, str] = {}
        for key in self._keys:
            name = key.caller.name
            if name in by_digest.values():
                raise LlinkError(f"two API keys are named {name!r}: give each a name of its own")
            if key.digest in by_digest:
                raise LlinkError(
                    f"the API keys {by_digest[key.digest]!r} and {name!r} are the same: give each its own"
                )
            if key.digest == admin:
                raise LlinkError(f"the API key {name!r} is the admin key too: give admins one of their own")
            by_digest[key.digest] = name

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.caller.name for key in self._keys) or 'no keys'})"

    def __len__(self) -> int:
        return len(self._keys)

    def authenticate(self, header: str | None) -> Caller:
        """The owner of the key in an ``Authorization`` header.

        Raises:
            ApiError: 401 for no key, an unknown or an expired one.
        """
        if not self._keys:
            return self._anonymous
        digest = digest_of(_bearer(header))
        match: ApiKey | None = None
        for key in self._keys:  # all of them, so that the time does not tell which one it is
            if hmac.compare_digest(key.digest, digest):
                match = key
        if match is None:
            raise ApiError(401, "this API key is not known here: look at it, or ask for one")
        if match.expires is not None and self._now() >= match.expires:
            raise ApiError(
                401,
                f"this API key expired on {match.expires:%Y-%m-%d}: ask for a new one",
                code="expired_api_key",
            )
        return match.caller

    def require_admin(self, header: str | None) -> None:
        """Refuse everybody but admins.

        Raises:
            ApiError: 401 without a key, 403 with another one, or where no admin key was set.
        """
        if self._admin is None:
            raise ApiError(
                403,
                "the admin endpoints are closed: start the service with an admin key in the variable "
                f"{self._admin_variable}",
            )
        if not hmac.compare_digest(self._admin, digest_of(_bearer(header))):
            raise ApiError(403, "this is not the admin key")


def _bearer(header: str | None) -> str:
    scheme, _, key = (header or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "there is no API key: send the header 'Authorization: Bearer <key>'")
    return key.strip()
