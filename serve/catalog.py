"""Which bundle answers for which language: follows the registry and switches when a new bundle is loaded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from llink_ray.bundles.manifest import BundleInfo
from llink_ray.bundles.registry import Registry, Version
from llink_ray.engine import QueueFull
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings
from llink_ray.text.languages import Language, find
from serve.backend import Backend, Overloaded, ReplicaLost
from serve.base_models import encoder_name
from serve.rpc_types import BundleRef

_log = logging.getLogger("llink_ray.serve")
RETRYABLE = (JobFailed, ReplicaLost, Overloaded, QueueFull)
"""Failures that may pass, unlike a damaged bundle."""
_RETRY_REFUSED_SECONDS = 60.0
"""``reload`` reaches one of several ingress replicas, so all try refused bundles again by themselves."""
_PINNED_VERSIONS = 64
"""Older versions, asked for by name, whose records are kept."""


@dataclass(frozen=True)
class ServedLanguage:
    """A language with the bundle that answers for it."""

    language: Language
    ref: BundleRef
    info: BundleInfo
    settings: Settings
    encoder: str
    """Name of its encoder's deployment."""
    metrics: dict[str, Any]
    """Evaluation metrics of the bundle."""


class Catalog:
    """Polls the registry.

    A new version is verified and loaded before it answers; until then, and for requests that have begun, the
    one before it answers. A version that cannot be used is refused: logged, counted, and tried again at
    ``reload`` or after a minute. A language without versions is no longer served; one whose folder cannot be
    read stays as it is.
    """

    def __init__(
        self,
        registry: Registry,
        backend: Backend,
        encoders: Collection[str],
        count: Callable[[str, str], None] = lambda language, outcome: None,
    ) -> None:
        """``count`` is called with a language and ``loaded`` or ``refused``."""
        self._registry, self._backend, self._encoders, self._count = registry, backend, encoders, count
        self.languages: dict[str, ServedLanguage] = {}
        """By code, sorted; replaced as a whole, so that a request keeps the one that it began with."""
        self.refused: dict[str, str] = {}
        """``bo v0002`` -> why."""
        self.loaded = False
        """Whether the registry was read once."""
        self._unreadable: dict[str, str] = {}
        self._refused_at: dict[str, float] = {}
        self._pinned: LRUCache[tuple[str, str], ServedLanguage] = LRUCache(_PINNED_VERSIONS)
        self._lock = asyncio.Lock()

    async def watch(self, poll_seconds: float) -> None:
        """``refresh`` again and again, until cancelled."""
        while True:
            try:
                await self.refresh()
            except LlinkError as error:
                _log.warning("the registry cannot be read, what is loaded goes on answering: %s", error)
            except Exception:
                _log.exception("looking at the registry failed; trying again")
            await asyncio.sleep(poll_seconds)

    async def reload(self) -> None:
        """``refresh``, trying refused versions once more.

        Raises:
            JobFailed: the registry cannot be reached.
        """
        self.refused = {}
        self._pinned.clear()
        await self.refresh()

    async def refresh(self) -> None:
        """Bring what is served in line with the registry.

        Raises:
            JobFailed: the registry cannot be reached.
        """
        async with self._lock:
            versions: dict[str, list[Version]] = {}
            listed, unreadable = await asyncio.to_thread(self._registry.scan)
            for version in listed:
                versions.setdefault(version.language, []).append(version)
            self._warn(unreadable)
            for code in sorted(self.languages.keys() - versions.keys() - unreadable.keys()):
                _log.info("%s is no longer in the registry, and no longer served", code)
                self._switch(code, None)
            existing = {(version.language, version.name) for version in listed}
            for key in [key for key in self._pinned if key not in existing and key[0] not in unreadable]:
                del self._pinned[key]
            self.refused = {key: why for key, why in self.refused.items() if tuple(key.split()) in existing}
            for code, of_language in versions.items():
                await self._update(code, of_language)
            self.loaded = True

    def _warn(self, unreadable: Mapping[str, LlinkError]) -> None:
        """Warn once of folders that cannot be read."""
        messages = {code: str(error) for code, error in unreadable.items()}
        for code, message in messages.items():
            if self._unreadable.get(code) != message:
                _log.warning("%s in the registry cannot be read: %s", code, message)
        self._unreadable = messages

    async def _update(self, code: str, versions: list[Version]) -> None:
        """Serve the registry's current version; at the start, where that is refused, an older one."""
        current = next((version for version in versions if version.current), versions[-1])
        older = [version for version in reversed(versions) if version.number < current.number]
        served = self.languages.get(code)
        removed = served is not None and all(version.name != served.ref.version for version in versions)
        for version in [current, *([] if served and not removed else older)]:
            if served and served.ref.version == version.name:
                return
            with suppress(LlinkError):
                self._switch(code, await self._load(version))
                return

    async def _load(self, version: Version) -> ServedLanguage:
        """Have the models load a version.

        Raises:
            LlinkError: it is refused; logged and counted once.
        """
        name = f"{version.language} {version.name}"
        known = self.refused.get(name)
        if known is not None and time.monotonic() - self._refused_at[name] < _RETRY_REFUSED_SECONDS:
            raise LlinkError(known)
        try:
            served = await self._describe(version)
            await self._backend.prepare(served.encoder, served.ref)
        except RETRYABLE as error:
            _log.warning("%s cannot be loaded now, trying again: %s", name, error)
            raise
        except LlinkError as error:
            self.refused[name], self._refused_at[name] = str(error), time.monotonic()
            if str(error) != known:
                self._count(version.language, "refused")
                _log.error("%s is refused: %s", name, error)
            raise
        self.refused.pop(name, None)
        self._count(version.language, "loaded")
        return served

    async def _describe(self, version: Version) -> ServedLanguage:
        """Read the records of a published bundle.

        Raises:
            LlinkError: its record is damaged, or it needs an encoder that does not run.
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
            running = ", ".join(self._encoders) or "none"
            raise LlinkError(
                f"{version.location} wants the encoder {encoder}, and those served are {running}: start the "
                "service again, so that it is loaded"
            )
        ref = BundleRef(version.language, version.name, str(info.digest))
        metrics = await asyncio.to_thread(self._registry.metrics, version)
        return ServedLanguage(find(version.language), ref, info, settings, encoder, metrics)

    async def pinned(self, code: str, version_name: str) -> ServedLanguage:
        """A version by name. Messages are for clients, so they hold no paths.

        Raises:
            LlinkError: there is none, or it is refused.
        """
        served = self.languages.get(code)
        if served and served.ref.version == version_name:
            return served
        key = code, version_name
        if key in self._pinned:
            return self._pinned[key]
        versions = await asyncio.to_thread(self._registry.list, code)
        language = find(code).name
        version = next((version for version in versions if version.name == version_name), None)
        if version is None:
            names = ", ".join(version.name for version in versions) or "none"
            raise LlinkError(f"{language} has no such version here (there are: {names})")
        try:
            pinned = self._pinned[key] = await self._load(version)
        except RETRYABLE:
            raise
        except LlinkError:  # the log has the details
            raise LlinkError(f"this version of {language} cannot be loaded here: ask for another") from None
        return pinned

    def _switch(self, code: str, served: ServedLanguage | None) -> None:
        languages = {other: language for other, language in self.languages.items() if other != code}
        if served is not None:
            languages[code] = served
            _log.info("%s is answered by %s", code, served.ref.version)
        self.languages = dict(sorted(languages.items()))
