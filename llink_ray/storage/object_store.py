"""Files at a local path or a URI, read and written through ``pyarrow.fs``."""

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
    """A folder at a local path or a URI. Paths are relative to it, with ``/``."""

    name: str
    """For messages: the path, or the URI without keys."""
    local: Path | None
    """Its path where it is on the local disk."""

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
        """Names of the entries of one folder, sorted; empty where it does not exist.

        Entries are not opened, so one that cannot be read does no harm.
        """
        base = f"{self._prefix}{under}" if under else self._root
        with self._reaching():
            try:
                if self.local is not None:
                    return sorted(os.listdir(base))  # noqa: PTH208 - names alone
                entries = self._files.get_file_info(fs.FileSelector(base, allow_not_found=True))
            except FileNotFoundError:
                return []
            except NotADirectoryError:
                if not under:
                    raise
                return []  # a stray file
        return sorted({item.path.rstrip("/").rpartition("/")[2] for item in entries})

    def present(self, paths: list[str]) -> list[str]:
        """Those of ``paths`` that are files."""
        with self._reaching():
            infos = self._files.get_file_info([self._prefix + path for path in paths])
        return [path for path, info in zip(paths, infos, strict=True) if info.type == fs.FileType.File]

    def read(self, path: str) -> bytes | None:
        """A small file's content; None where there is no such file."""
        with self._reaching():
            if self._files.get_file_info(self._prefix + path).type != fs.FileType.File:
                return None
            with self._files.open_input_stream(self._prefix + path) as stream:
                content: bytes = stream.read()
                return content

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is no such file."""
        with self._reaching():
            info = self._files.get_file_info(self._prefix + path)
        return info.size if info.type == fs.FileType.File else None

    def put(self, path: str, content: bytes) -> None:
        """Write a small file, whole or not at all; an older one is replaced."""
        if self._objects:
            with self._writing(path), self._files.open_output_stream(self._prefix + path) as stream:
                stream.write(content)
        else:
            with self._writing(path), self._renamed_file(path) as stream:
                stream.write(content)

    def put_file(self, path: str, source: Path) -> None:
        """Copy a local file, whole or not at all; an older one is replaced."""
        progress = track(f"{path} to {self.name}", "MB", source.stat().st_size)
        with source.open("rb") as file, progress, self._writing(path), self._renamed_file(path) as stream:
            while block := file.read(_BLOCK):
                stream.write(block)
                progress.advance(len(block))

    def touch(self, path: str) -> None:
        """Write an empty file."""
        with self._writing(path), self._new_file(path):
            pass

    def upload(self, source: Path, path: str, expected: str) -> None:
        """Copy a local file, and check that its SHA-256 is ``expected``."""
        digest = hashlib.sha256()
        try:
            file = source.open("rb")
        except OSError as error:
            raise JobFailed(f"{source} cannot be read any more ({error.strerror}): publish again") from error
        progress = track(f"{path} to {self.name}", "MB", source.stat().st_size)
        with file, progress, self._writing(path), self._new_file(path) as stream:
            while block := file.read(_BLOCK):
                digest.update(block)
                stream.write(block)
                progress.advance(len(block))
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
        progress = track(f"{path} from {self.name}", "MB", size)
        with stream, progress, target.open("wb") as file:
            while block := self._block(stream):
                file.write(block)
                progress.advance(len(block))

    def delete_file(self, path: str) -> None:
        """Delete one file that exists."""
        with self._reaching():
            self._files.delete_file(self._prefix + path)

    def clear(self, path: str, *, and_remove: bool = False) -> None:
        """Delete the content of a folder, with ``and_remove`` the folder too; it need not exist."""
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
    def _renamed_file(self, path: str) -> Iterator[fs.NativeFile]:
        """A temporary file that takes its name when the block ends well."""
        temporary, final = f"{self._prefix}{path}.{secrets.token_hex(4)}.tmp", self._prefix + path
        try:
            with self._new_file(temporary.removeprefix(self._prefix)) as stream:
                yield stream
            if self.local is None and self._files.get_file_info(final).type == fs.FileType.File:
                self._files.delete_file(final)  # some file systems refuse to move onto a file
            self._files.move(temporary, final)
        except BaseException:
            if self._files.get_file_info(temporary).type == fs.FileType.File:
                self._files.delete_file(temporary)
            raise
        if self.local is not None:
            sync_file((self.local / path).parent)

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
