"""Registries on stores that a test can look into, damage and refuse."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundle_files import make_bundle
from pyarrow import fs

from llink_ray.bundles.registry import Registry

Open = Callable[[], Registry]
"""Opens the same registry anew."""


def remote(folder: Path) -> Registry:
    """The way of an object store (claims, downloads), on files that a test can damage."""
    return Registry("team/models", fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()))


def remote_at(folder: Path) -> Registry:
    return Registry("r", fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()))


def publish(registry: Registry, folder: Path, language: str = "bo", **changes: Any) -> str:
    return registry.publish(make_bundle(folder / "made", language=language, **changes)).name


def answers(registry: Registry, language: str = "bo") -> str:
    return registry.resolve(language).name


class Network(fs.FileSystemHandler):  # type: ignore[misc]
    """A folder behind a network: tests look at each request before it is carried out, and may refuse it."""

    def __init__(self, folder: Path, kind: str = "far") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.inner = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        self.kind = kind
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda request, path: None

    def registry(self) -> Registry:
        return Registry("r", fs.PyFileSystem(self))

    def get_type_name(self) -> str:
        return self.kind

    def get_file_info(self, paths: list[str]) -> Any:
        self._request("get_file_info", *paths)
        return self.inner.get_file_info(paths)

    def get_file_info_selector(self, selector: fs.FileSelector) -> Any:
        self._request("list", selector.base_dir)
        found = self.inner.get_file_info(selector)
        return [item for item in found if self.kind != "s3" or self._holds_a_file(item)]

    def _holds_a_file(self, item: fs.FileInfo) -> bool:
        inside = [item] if item.type == fs.FileType.File else None
        if inside is None:
            inside = self.inner.get_file_info(fs.FileSelector(item.path, recursive=True))
        return any(one.type == fs.FileType.File for one in inside)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool) -> None:
        self._request("delete_dir_contents", path)
        self.inner.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        self._request("write", path)
        if self.kind == "s3":  # folders are there when something is in them
            self.inner.create_dir(path.rpartition("/")[0])
        return self.inner.open_output_stream(path)

    def open_input_stream(self, path: str) -> Any:
        self._request("read", path)
        return self.inner.open_input_stream(path)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._request("create_dir", path)
        self.inner.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self._request("delete_dir", path)
        self.inner.delete_dir(path)

    def delete_file(self, path: str) -> None:
        self._request("delete_file", path)
        self.inner.delete_file(path)

    def move(self, source: str, target: str) -> None:
        self._request("move", target)
        self.inner.move(source, target)

    def normalize_path(self, path: str) -> str:
        return path

    def _request(self, request: str, *paths: str) -> None:
        for path in paths:
            self.requests.append((request, path))
            self.before(request, path)

    copy_file = delete_root_dir_contents = open_append_stream = open_input_file = None


def refuse(*what: str) -> Callable[[str, str], None]:
    """Lose the connection when a request touches a path with one of these words in it."""

    def before(request: str, path: str) -> None:
        if any(word in path for word in what):
            raise OSError(errno.ENETUNREACH, "Network is unreachable\nwith a second line")

    return before
