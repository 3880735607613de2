"""Bundles that a replica has in use: fetched, verified and loaded when they are first asked for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from llink_ray.bundles.bundle import BundleInfo, read_bundle
from llink_ray.bundles.registry import Registry
from llink_ray.errors import JobFailed, LlinkError
from serve.rpc_types import BundleRef

T = TypeVar("T")


class BundleCache(Generic[T]):
    """By bundle, at most ``most`` versions of a language: the one in use, and the one it gives way to.

    A replica that was started anew, or by scaling, needs nobody to tell it what there is.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[BundleRef, Path, BundleInfo], T],
        drop: Callable[[BundleRef], None] = lambda ref: None,
        most: int = 3,
    ) -> None:
        self._registry, self._load, self._drop, self._most = registry, load, drop, most
        self._kept: OrderedDict[BundleRef, T] = OrderedDict()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.loads = 0
        """Bundles loaded so far."""

    async def get(self, ref: BundleRef) -> T:
        """What was loaded of a bundle.

        Raises:
            LlinkError: it is gone, damaged, not the one that was meant, or for other models.
            JobFailed: the registry cannot be reached.
        """
        if ref not in self._kept:
            async with self._locks[ref.language]:
                if ref not in self._kept:
                    self._kept[ref] = await asyncio.to_thread(self._fetched, ref)
                    self.loads += 1
                    self._make_room(ref)
        self._kept.move_to_end(ref)
        return self._kept[ref]

    async def used(self, ref: BundleRef) -> T:
        """``get`` for a request: that a bundle which answers cannot be loaded any more is not its fault.

        Raises:
            JobFailed: as ``get``, whatever it is.
        """
        try:
            return await self.get(ref)
        except LlinkError as error:
            raise JobFailed(str(error)) from None

    def _fetched(self, ref: BundleRef) -> T:
        folder = self._registry.fetch(ref.language, ref.version)
        info = read_bundle(folder)
        if info.digest != ref.digest:
            raise LlinkError(f"{ref.language} {ref.version} is not the bundle it was: reload the registry")
        return self._load(ref, folder, info)

    def _make_room(self, newest: BundleRef) -> None:
        versions = [ref for ref in self._kept if ref.language == newest.language]
        for ref in versions[: -self._most]:
            del self._kept[ref]
            self._drop(ref)
