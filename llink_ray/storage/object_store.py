"""Small and large files at an address, read and written through ``pyarrow.fs``; errors for people."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.progress import track
from llink_ray.storage.atomic import disk_refused, sync_file
from llink_ray.storage.redact import redact

_OBJECT_STORES = frozenset({"s3", "gs", "gcs", "abfs", "abfss"})
"""A PUT is atomic there, and folders are only prefixes that one may be forbidden to create."""
_BLOCK = 1 << 20  # bytes


class ObjectStore:
    """A folder on a local path or at any address that pyarrow knows. Paths are relative to it, with ``/``."""

    name: str
    """For messages: the path, or the address without keys."""
    local: Path | None
    """The folder itself, where it is on this machine's disk."""

    def __init__(self, uri: str | Path, filesystem: fs.FileSystem | None = None) -> None:
        """Nothing is read or written yet.

        Raises:
            LlinkError: ``uri`` is not an address that pyarrow knows.
        """
        text = str(uri)
        self.name = text
        if filesystem is not None:
            self._files, root = filesystem, text
            self.name = f"{filesystem.type_name}:{text}"
        elif "://" in text:
            self.name = text if text.startswith("file://") else redact(text)
            try:
                self._files, root = fs.FileSystem.from_uri(text)
            except (OSError, ValueError, pa.ArrowException) as error:
                # pyarrow quotes the address with its keys: the reason is left to the chained error
                raise LlinkError(
                    f"{self.name} is not an address that can be opened here: "
                    "give a local path, or a URI such as s3://bucket/folder"
                ) from error
        else:
            self.name = root = os.path.abspath(Path(text).expanduser())  # noqa: PTH100 - keeps symlinks
            self._files = fs.LocalFileSystem()
        self.name = self.name.rstrip("/")
        self._root = root.rstrip("/") or root[:1]
        self._prefix = self._root if self._root in ("", "/") else f"{self._root}/"
        # pyarrow calls its own "s3"; those of fsspec, wrapped, "py::fsspec+s3"
        self._objects = re.split(r"::|\+", self._files.type_name)[-1] in _OBJECT_STORES
        self.local = Path(root) if isinstance(self._files, fs.LocalFileSystem) else None

    def names(self, under: str = "") -> list[str]:
        """Names of what lies in one folder, sorted; nothing where there is none.

        No entry is looked at: what cannot be read among them does no harm.
        """
        base = f"{self._prefix}{under}" if under else self._root
        with self._reaching():
            try:
                if self.local is not None:
                    return sorted(os.listdir(base))  # noqa: PTH208 - names alone
                found = self._files.get_file_info(fs.FileSelector(base, allow_not_found=True))
            except FileNotFoundError:
                return []
            except NotADirectoryError:
                if not under:
                    raise
                return []  # a stray file
        return sorted({item.path.rstrip("/").rpartition("/")[2] for item in found})

    def present(self, paths: list[str]) -> list[str]:
        """Those of ``paths`` that are files."""
        with self._reaching():
            found = self._files.get_file_info([self._prefix + path for path in paths])
        return [path for path, item in zip(paths, found, strict=True) if item.type == fs.FileType.File]

    def read(self, path: str) -> bytes | None:
        """A small file's content; None where there is no such file."""
        with self._reaching():
            if self._files.get_file_info(self._prefix + path).type != fs.FileType.File:
                return None
            with self._files.open_input_stream(self._prefix + path) as stream:
                content: bytes = stream.read()
                return content

    def put(self, path: str, content: bytes) -> None:
        """Write a small file, whole or not at all, over an older one if there is."""
        with self._writing(path):
            if self._objects:
                with self._files.open_output_stream(self._prefix + path) as stream:
                    stream.write(content)
                return
            temporary = f"{path}.{secrets.token_hex(4)}.tmp"
            try:
                with self._new_file(temporary) as stream:
                    stream.write(content)
                self._files.move(self._prefix + temporary, self._prefix + path)
            except BaseException:
                if self._files.get_file_info(self._prefix + temporary).type == fs.FileType.File:
                    self._files.delete_file(self._prefix + temporary)
                raise
            if self.local is not None:
                sync_file((self.local / path).parent)

    def touch(self, path: str) -> None:
        """Write an empty file."""
        with self._writing(path), self._new_file(path):
            pass

    def upload(self, source: Path, path: str, expected: str) -> None:
        """Copy a local file whose SHA-256 was found to be ``expected``."""
        digest = hashlib.sha256()
        try:
            file = source.open("rb")
        except OSError as error:
            raise JobFailed(f"{source} cannot be read any more ({error.strerror}): publish again") from error
        told = track(f"{path} to {self.name}", "MB", source.stat().st_size)
        with file, told, self._writing(path), self._new_file(path) as stream:
            while block := file.read(_BLOCK):
                digest.update(block)
                stream.write(block)
                told.advance(len(block))
        if digest.hexdigest() != expected:
            raise JobFailed(
                f"{source} changed while it was read: let the job that writes it end, then publish"
            )

    def download(self, path: str, target: Path) -> None:
        """Copy a file to the local ``target``; its disk's OSError is the caller's."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._reaching():
            stream = self._files.open_input_stream(self._prefix + path)
            size = self._files.get_file_info(self._prefix + path).size
        told = track(f"{path} from {self.name}", "MB", size)
        with stream, told, target.open("wb") as file:
            while block := self._block(stream):
                file.write(block)
                told.advance(len(block))

    def delete_file(self, path: str) -> None:
        """Delete one file that exists."""
        with self._reaching():
            self._files.delete_file(self._prefix + path)

    def clear(self, path: str, *, and_remove: bool = False) -> None:
        """Delete what is in a folder, and the folder itself where told so; it need not exist."""
        with self._reaching():
            self._files.delete_dir_contents(self._prefix + path, missing_dir_ok=True)
            if and_remove and self._files.get_file_info(self._prefix + path).type == fs.FileType.Directory:
                self._files.delete_dir(self._prefix + path)

    def make_folder(self, path: str) -> bool:
        """Exclusive mkdir, which only a local store has: False where the folder exists already."""
        if self.local is None:
            raise ValueError(f"{self.name} has no exclusive mkdir")
        with self._writing(path):
            full = self.local / path
            full.parent.mkdir(parents=True, exist_ok=True)
            try:
                full.mkdir()
            except FileExistsError:
                return False
            return True

    @contextmanager
    def _new_file(self, path: str) -> Iterator[fs.NativeFile]:
        full = self._prefix + path
        if not self._objects:
            self._files.create_dir(full.rpartition("/")[0], recursive=True)
        with self._files.open_output_stream(full) as stream:
            yield stream
        if self.local is not None:
            sync_file(self.local / path)

    def _block(self, stream: fs.NativeFile) -> bytes:
        with self._reaching():
            block: bytes = stream.read(_BLOCK)
            return block

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            if self.local is not None:
                raise disk_refused("to", self.local / path, error, "name another place") from error
            raise self._unreachable(error) from error

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> JobFailed:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if isinstance(error, OSError) and error.filename and error.strerror:
            reason = f"{error.strerror}: {error.filename}"
        remedy = "permissions" if self.local is not None else "network and your credentials"
        return JobFailed(f"{self.name} cannot be reached ({reason}): check the address and the {remedy}")
