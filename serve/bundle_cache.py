"""Bundles that a replica has loaded: fetched and verified when they are first asked for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import BundleInfo
from llink_ray.bundles.registry import Registry
from llink_ray.errors import JobFailed, LlinkError
from serve.rpc_types import BundleRef

T = TypeVar("T")


class BundleCache(Generic[T]):
    """What ``load`` made of each bundle, for the ``max_versions`` of a language that were used last.

    A replica that was started anew, or by scaling, loads what requests name. ``drop`` is called for a bundle
    that has to go.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[BundleRef, Path, BundleInfo], T],
        drop: Callable[[BundleRef], None] = lambda ref: None,
        max_versions: int = 3,
    ) -> None:
        self._registry, self._load, self._drop, self._max_versions = registry, load, drop, max_versions
        self._loaded: OrderedDict[BundleRef, T] = OrderedDict()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.loads = 0
        """Bundles loaded so far."""

    @property
    def refs(self) -> list[BundleRef]:
        """Bundles that are loaded, least recently used first."""
        return [*self._loaded]

    def clear(self) -> None:
        """Forget all bundles, as a replica that was started anew."""
        self._loaded.clear()

    async def get(self, ref: BundleRef) -> T:
        """What ``load`` made of a bundle.

        Raises:
            LlinkError: it is gone, damaged, changed since, or for other models.
            JobFailed: the registry cannot be reached.
        """
        if ref not in self._loaded:
            async with self._locks[ref.language]:
                if ref not in self._loaded:
                    self._loaded[ref] = await asyncio.to_thread(self._fetch_and_load, ref)
                    self.loads += 1
                    self._evict(ref)
        self._loaded.move_to_end(ref)
        return self._loaded[ref]

    async def require(self, ref: BundleRef) -> T:
        """``get`` for a request, whose fault it is not that a served bundle cannot be loaded any more.

        Raises:
            JobFailed: where ``get`` raises LlinkError.
        """
        try:
            return await self.get(ref)
        except LlinkError as error:
            raise JobFailed(str(error)) from None

    def _fetch_and_load(self, ref: BundleRef) -> T:
        folder = self._registry.fetch(ref.language, ref.version)
        info = read_bundle(folder)
        if info.digest != ref.digest:
            raise LlinkError(f"{ref.language} {ref.version} is not the bundle it was: reload the registry")
        return self._load(ref, folder, info)

    def _evict(self, newest: BundleRef) -> None:
        versions = [ref for ref in self._loaded if ref.language == newest.language]
        for ref in versions[: -self._max_versions]:
            del self._loaded[ref]
            self._drop(ref)
