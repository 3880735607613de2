"""Versions of bundles by language: publish, list, resolve, roll back.

    <root>/<language>/v0001/…            one published bundle, its bundle.json written last
    <root>/<language>/current.json       only after a roll back: which version answers instead of the newest
    <root>/<language>/claims/v0001/…     claims to the number, on stores that have no exclusive mkdir

A version exists once its ``bundle.json`` does, which is one rename or one PUT, and the newest version
answers. There is no pointer that two publishers could set in the wrong order, and an incomplete version is
never listed. A roll back pins an older version until a version newer than all existing ones is published.

Concurrent publishers take different numbers: on a local disk by exclusive mkdir, elsewhere by writing a
claim, listing the claims, and withdrawing if there is another. That is safe on stores with consistent
listings (S3, GCS, Azure); elsewhere publish from one place at a time. Of two concurrent roll backs the later
write stands. Numbers are not reused after ``remove``. The folder of a killed publisher can be deleted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pyarrow import fs

from llink_ray.bundles.bundle import check_bundle, read_bundle
from llink_ray.bundles.manifest import INDEX, LANGUAGE_CODE, BundleInfo, parse_info
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.storage.atomic import atomic_directory
from llink_ray.storage.object_store import ObjectStore

_PIN = "current.json"
_CLAIMS = "claims"
_VERSION = re.compile(r"v(\d{4,})")
_CLAIM = re.compile(r"[0-9a-f]{16}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """One published bundle."""

    language: str
    """Code."""
    number: int
    """Counts up from 1."""
    current: bool
    """This one answers for its language."""
    location: str
    """Where it lies: a local path, or an address without keys."""

    @property
    def name(self) -> str:
        """``v0001``."""
        return _name(self.number)

    @property
    def folder(self) -> str:
        """Path inside the registry."""
        return f"{self.language}/{self.name}"


Versions: TypeAlias = list[Version]  # the class below has a method of the name ``list``


class Registry:
    """Bundles by language code, on a local path or any address that ``pyarrow.fs`` reads."""

    def __init__(self, uri: str | Path, filesystem: fs.FileSystem | None = None) -> None:
        """Nothing is read or written yet.

        Args:
            uri: local path, ``file://…``, ``s3://bucket/folder``, ``gs://…``; with ``filesystem``, a path
                inside that.
            filesystem: a pyarrow filesystem that was set up by the caller.

        Raises:
            LlinkError: ``uri`` is not an address that pyarrow knows.
        """
        self._store = ObjectStore(uri, filesystem)
        self.name = self._store.name

    def list(self, language: str | None = None) -> Versions:
        """Complete versions, of one language or of all, by language and number.

        Of all, a language whose folder cannot be read is left out, with a warning; see :meth:`scan`.

        Raises:
            JobFailed: the store, or the one language, cannot be read.
            LlinkError: what the language was rolled back to is damaged.
        """
        if language is not None:
            return self._versions(language) if re.fullmatch(LANGUAGE_CODE, language) else []
        versions, unread = self.scan()
        for error in unread.values():
            _log.warning("left out: %s", error)
        return versions

    def scan(self) -> tuple[Versions, dict[str, LlinkError]]:
        """Complete versions of all languages, and by code the errors of languages that cannot be read.

        Names that are no language codes (a volume's ``lost+found``, snapshots) are skipped.

        Raises:
            JobFailed: the store cannot be reached, or nothing in it can be read.
        """
        versions: Versions = []
        unread: dict[str, LlinkError] = {}
        for code in self._store.names():
            if re.fullmatch(LANGUAGE_CODE, code):
                try:
                    versions += self._versions(code)
                except LlinkError as error:
                    unread[code] = error
        if unread and not versions:
            raise next(iter(unread.values()))
        return versions, unread

    def resolve(self, language: str, version: str | None = None) -> Version:
        """The version that answers for ``language``: the newest, or the one rolled back to.

        Raises:
            LlinkError: nothing is published for the language, or not this version; names what there is.
            JobFailed: the store cannot be reached.
        """
        versions = self.list(language)
        if not versions:
            raise self._nothing(language)
        for candidate in versions:
            if candidate.name == version or (version is None and candidate.current):
                return candidate
        known = ", ".join(candidate.name for candidate in versions)
        if version is not None:
            raise LlinkError(f"{self.name} has no version {version} for {language}: it has {known}")
        raise LlinkError(
            f"the version that {language} was rolled back to is gone from {self.name}: "
            f"roll back to one of {known}"
        )

    def info(self, version: Version) -> BundleInfo:
        """The record of a published bundle; its other files are not checked.

        Raises:
            LlinkError: ``bundle.json`` is damaged, or gone.
        """
        content = self._store.read(f"{version.folder}/{INDEX}")
        if content is None:
            raise LlinkError(f"{version.location} is gone: list the registry again")
        return parse_info(content.decode("utf-8", "replace"), version.location)

    def metrics(self, version: Version) -> dict[str, Any]:
        """The figures of a published bundle; empty where they are missing or damaged.

        Raises:
            JobFailed: the store cannot be reached.
        """
        content = self._store.read(f"{version.folder}/metrics.json")
        try:
            metrics = json.loads(content or b"{}")
        except ValueError:
            return {}
        return metrics if isinstance(metrics, dict) else {}

    def fetch(self, language: str, version: str | None = None, cache_dir: Path | None = None) -> Path:
        """A local directory with the bundle: the registry's own where it is local, else a verified copy.

        A copy is kept under ``cache_dir`` (by default ``~/.cache/llink_ray/bundles``) by the bundle's
        digest, so it is downloaded once, and again where the copy was damaged. The registry's own directory
        is verified by whoever loads it.

        Raises:
            LlinkError: nothing published, unknown version, or the published files are damaged.
            JobFailed: the store cannot be reached, or the cache's disk refused.
        """
        published = self.resolve(language, version)
        if self._store.local is not None:
            return self._store.local / published.folder
        info = self.info(published)
        copy = (cache_dir or _default_cache()) / f"{language}-{published.name}-{str(info.digest)[:16]}"
        if _is_intact(copy, info):
            return copy
        shutil.rmtree(copy, ignore_errors=True)
        elsewhere = "name another cache folder"
        with atomic_directory(
            copy, what="the copy of the bundle", elsewhere=elsewhere, first_wins=True
        ) as folder:
            for name in info.files:
                self._store.download(f"{published.folder}/{name}", folder / name)
            check_bundle(folder, info, published.location)
            (folder / INDEX).write_text(info.to_json(), encoding="utf-8")
        return copy

    def publish(self, bundle: Path) -> Version:
        """Verify ``bundle`` and make a copy of it the newest version of its language.

        Raises:
            LlinkError: the bundle is damaged.
            JobFailed: the store cannot be reached or is full; what was copied is removed again.
        """
        info = read_bundle(bundle)
        number = self._claim(info.language)
        folder = f"{info.language}/{_name(number)}"
        try:
            for name, expected in info.files.items():
                self._store.upload(Path(bundle) / name, f"{folder}/{name}", expected)
            self._store.put(f"{folder}/{INDEX}", info.to_json().encode())
        except BaseException:  # Ctrl-C too
            with suppress(LlinkError):
                self._store.clear(folder, and_remove=True)
            raise
        return self.resolve(info.language, _name(number))

    def roll_back(self, language: str, to: str | None = None) -> Version:
        """Let an older version answer: ``to``, or the one before the current. Publishing ends it.

        Raises:
            LlinkError: nothing published, unknown version, or there is none before the current.
        """
        target = self.resolve(language, to)
        versions = self.list(language)
        if to is None:
            older = [version for version in versions if version.number < target.number]
            if not older:
                raise LlinkError(
                    f"{target.name} is the oldest version of {language} in {self.name}: "
                    "publish another bundle, there is nothing to roll back to"
                )
            target = older[-1]
        pin = {"version": target.number, "newest": versions[-1].number}
        self._store.put(f"{language}/{_PIN}", json.dumps(pin).encode())
        return self.resolve(language, target.name)

    def remove(self, language: str, version: str) -> None:
        """Delete a version that does not answer, or the last one there is. Its number stays taken.

        Raises:
            LlinkError: unknown version, or the one that answers while there are others.
        """
        published = self.resolve(language, version)
        if published.current and len(self.list(language)) > 1:
            raise LlinkError(
                f"{version} answers for {language} in {self.name}: "
                "publish another or roll back, then remove it"
            )
        self._store.delete_file(f"{published.folder}/{INDEX}")  # from here on it is not listed
        self._store.clear(published.folder)

    def _versions(self, code: str) -> Versions:
        taken = [_name(number) for number in self._numbers(code)]
        complete = self._store.present([f"{code}/{name}/{INDEX}" for name in taken])
        numbers = [int(path.split("/")[1][1:]) for path in complete]
        if not numbers:
            return []
        current = self._current(code, numbers[-1])
        return [
            Version(code, number, number == current, f"{self.name}/{code}/{_name(number)}")
            for number in numbers
        ]

    def _numbers(self, folder: str) -> Sequence[int]:
        """Versions that have a folder in ``folder``, complete or not, in order."""
        matches = (_VERSION.fullmatch(name) for name in self._store.names(folder))
        return sorted({int(match[1]) for match in matches if match})

    def _nothing(self, language: str) -> LlinkError:
        codes = sorted({version.language for version in self.list()})
        there_is = f"which has {', '.join(codes)}" if codes else "which is empty"
        return LlinkError(
            f"nothing is published for {language} in {self.name}, {there_is}: train it with "
            f"jobs/train.py --lang={language}, or name the registry that has it"
        )

    def _current(self, language: str, newest: int) -> int:
        """The number of the version that answers; it may have been deleted by hand."""
        content = self._store.read(f"{language}/{_PIN}")
        if content is None:
            return newest
        try:
            pin = json.loads(content)
            pinned, known = int(pin["version"]), int(pin["newest"])
        except (ValueError, KeyError, TypeError) as error:
            raise LlinkError(
                f"{_PIN} of {language} in {self.name} is damaged: delete it, and the newest version answers"
            ) from error
        return newest if newest > known else pinned

    def _claim(self, language: str) -> int:
        """Take a version number that no other publisher gets."""
        if self._store.local is not None:
            number = self._highest(language) + 1
            while not self._store.make_folder(f"{language}/{_name(number)}"):
                number += 1
            return number
        for _ in range(100):
            number = self._highest(language) + 1
            claims = f"{language}/{_CLAIMS}/{_name(number)}"
            token = secrets.token_hex(8)
            claim = f"{claims}/{token}"
            self._store.touch(claim)
            if [name for name in self._store.names(claims) if _CLAIM.fullmatch(name)] == [token]:
                return number
            # The last to list sees all claims, so at most one stays; perhaps all withdraw and try again.
            self._store.delete_file(claim)
            time.sleep(secrets.randbelow(200) / 1000)
        raise JobFailed(f"too many bundles for {language} are published to {self.name} at once: try again")

    def _highest(self, language: str) -> int:
        claimed = [] if self._store.local is not None else self._numbers(f"{language}/{_CLAIMS}")
        return max([*self._numbers(language), *claimed], default=0)


def _name(number: int) -> str:
    return f"v{number:04d}"


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llink_ray" / "bundles"


def _is_intact(directory: Path, info: BundleInfo) -> bool:
    try:
        return read_bundle(directory).digest == info.digest
    except LlinkError:
        return False
