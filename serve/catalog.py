"""Which bundle answers for which language now: follows the registry, and switches when a bundle is ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from llink_ray.bundles.bundle import BundleInfo
from llink_ray.bundles.registry import Registry, Version
from llink_ray.engine import QueueFull
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings
from llink_ray.text.languages import Language, find
from serve.backend import Backend, Lost, Overloaded
from serve.base_models import encoder_name
from serve.rpc_types import BundleRef

_log = logging.getLogger("llink_ray.serve")
RETRYABLE = (JobFailed, Lost, Overloaded, QueueFull)
"""What may be better at the next look, unlike a damaged bundle."""
_AGAIN_SECONDS = 60.0
"""After which a refused one is tried once more: ``reload`` reaches one ingress replica of several."""
_PINNED = 64
"""Older versions whose records are kept, of those that were asked for by name."""


@dataclass(frozen=True)
class ServedLanguage:
    """A language that is served."""

    language: Language
    ref: BundleRef
    info: BundleInfo
    settings: Settings
    encoder: str
    """Name of the encoder deployment that reads it."""
    metrics: dict[str, Any]
    """The figures that it came with."""


class Catalog:
    """Looks at the registry again and again.

    A new version is verified and loaded first and answers then; the one before it answers until that moment,
    and for requests that have begun. One that is refused is told and counted, and tried again at ``reload``
    or after a minute; a language without a version any more is no longer served, and one whose folder cannot
    be read stays as it is.
    """

    def __init__(
        self,
        registry: Registry,
        backend: Backend,
        encoders: Mapping[str, object],
        count: Callable[[str, str], None] = lambda language, outcome: None,
    ) -> None:
        self._registry, self._backend, self._encoders, self._count = registry, backend, encoders, count
        self.taught: dict[str, ServedLanguage] = {}
        """By code, in alphabetical order; replaced as a whole, so a request keeps the one it began with."""
        self.refused: dict[str, str] = {}
        """``bo v0002`` -> why it does not answer."""
        self.looked = False
        """Whether the registry was read through once."""
        self._unread: dict[str, str] = {}
        self._tried: dict[str, float] = {}  # when those were
        self._pinned: dict[tuple[str, str], ServedLanguage] = {}
        self._lock = asyncio.Lock()

    async def follow(self, seconds: float) -> None:
        """Look every so often, until cancelled."""
        while True:
            try:
                await self.look()
            except LlinkError as error:
                _log.warning("the registry cannot be read, what is loaded goes on answering: %s", error)
            except Exception:
                _log.exception("looking at the registry failed; trying again")
            await asyncio.sleep(seconds)

    async def reload(self) -> None:
        """Look now, and try what was refused once more.

        Raises:
            JobFailed: the registry cannot be reached.
        """
        self.refused, self._pinned = {}, {}
        await self.look()

    async def look(self) -> None:
        """Bring what answers in line with the registry.

        Raises:
            JobFailed: the registry cannot be reached.
        """
        async with self._lock:
            versions: dict[str, list[Version]] = {}
            found, unread = await asyncio.to_thread(self._registry.look)
            for version in found:
                versions.setdefault(version.language, []).append(version)
            self._tell(unread)
            for code in sorted(self.taught.keys() - versions.keys() - unread.keys()):
                _log.info("%s is no longer in the registry, and no longer served", code)
                self._switch(code, None)
            there = {(code, one.name) for code, known in versions.items() for one in known}
            self._pinned = {key: one for key, one in self._pinned.items() if key in there or key[0] in unread}
            self.refused = {key: why for key, why in self.refused.items() if tuple(key.split()) in there}
            for code, known in versions.items():
                await self._follow(code, known)
            self.looked = True

    def _tell(self, unread: Mapping[str, LlinkError]) -> None:
        """Warn once of folders that cannot be read; what is loaded of them goes on answering."""
        said = {code: str(error) for code, error in unread.items()}
        for code, why in said.items():
            if self._unread.get(code) != why:
                _log.warning("%s in the registry cannot be read: %s", code, why)
        self._unread = said

    async def _follow(self, code: str, versions: list[Version]) -> None:
        """The version that the registry names; at the start, where that is refused, an older one."""
        current = next((version for version in versions if version.current), versions[-1])
        older = [version for version in reversed(versions) if version.number < current.number]
        serving = self.taught.get(code)
        gone = serving is not None and all(version.name != serving.ref.version for version in versions)
        for version in [current, *([] if serving and not gone else older)]:
            if serving and serving.ref.version == version.name:
                return
            with suppress(LlinkError):
                self._switch(code, await self._checked(version))
                return

    async def _checked(self, version: Version) -> ServedLanguage:
        """A version that was loaded by the models.

        Raises:
            LlinkError: it is refused; told and counted once.
        """
        name = f"{version.language} {version.name}"
        known = self.refused.get(name)
        if known is not None and time.monotonic() - self._tried[name] < _AGAIN_SECONDS:
            raise LlinkError(known)
        try:
            found = await self.describe(version)
            await self._backend.prepare(found.encoder, found.ref)
        except RETRYABLE as error:
            _log.warning("%s cannot be loaded now, trying again: %s", name, error)
            raise
        except LlinkError as error:
            self.refused[name], self._tried[name] = str(error), time.monotonic()
            if str(error) != known:
                self._count(version.language, "refused")
                _log.error("%s is refused: %s", name, error)
            raise
        self.refused.pop(name, None)
        self._count(version.language, "loaded")
        return found

    async def describe(self, version: Version) -> ServedLanguage:
        """What a published bundle says of itself.

        Raises:
            LlinkError: its record is damaged, or it wants an encoder that is not served here.
        """
        info = await asyncio.to_thread(self._registry.info, version)
        try:
            settings = Settings.model_validate(info.settings)
        except ValueError as error:
            raise LlinkError(
                f"{version.location} has settings that this version does not know: {error}"
            ) from None
        encoder = encoder_name(settings.encoder)
        if encoder not in self._encoders:
            served = ", ".join(self._encoders) or "none"
            raise LlinkError(
                f"{version.location} wants the encoder {encoder}, and those served are {served}: start the "
                "service again, so that it is loaded"
            )
        ref = BundleRef(version.language, version.name, str(info.digest))
        metrics = await asyncio.to_thread(self._registry.metrics, version)
        return ServedLanguage(find(version.language), ref, info, settings, encoder, metrics)

    async def pinned(self, code: str, version: str) -> ServedLanguage:
        """A version by name, whichever answers by default.

        Raises:
            LlinkError: there is none, or it is refused.
        """
        serving = self.taught.get(code)
        if serving and serving.ref.version == version:
            return serving
        key = code, version
        if key not in self._pinned:
            found = await self._named(code, version)
            while len(self._pinned) >= _PINNED:
                del self._pinned[next(iter(self._pinned))]
            self._pinned[key] = found
        return self._pinned[key]

    async def _named(self, code: str, version: str) -> ServedLanguage:
        """As ``pinned``, in words for whoever asks: where bundles lie is nobody's business."""
        known = await asyncio.to_thread(self._registry.list, code)
        name = find(code).name
        found = next((one for one in known if one.name == version), None)
        if found is None:
            there = ", ".join(one.name for one in known) or "none"
            raise LlinkError(f"{name} has no such version here (there are: {there})")
        try:
            return await self._checked(found)
        except RETRYABLE:
            raise
        except LlinkError:  # told in the log, with everything
            raise LlinkError(f"this version of {name} cannot be loaded here: ask for another") from None

    def _switch(self, code: str, found: ServedLanguage | None) -> None:
        others = {known: taught for known, taught in self.taught.items() if known != code}
        if found is not None:
            others[code] = found
            _log.info("%s is answered by %s", code, found.ref.version)
        self.taught = dict(sorted(others.items()))
