"""Where a store's files lie: a local directory, or anything that ``pyarrow.fs`` reads."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.progress import track
from llink_ray.storage.cache_folder import cache_root


class Folder(Protocol):
    """Files by relative name; a file is there whole or not at all."""

    def fetch(self, name: str, *, fresh: bool = False) -> Path | None:
        """Local path of the file, or None where it does not exist; ``fresh`` distrusts a cached copy."""

    def names(self, under: str) -> list[str]:
        """Files of one folder, sorted; none where it does not exist."""

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""

    @contextmanager
    def put(self, name: str) -> Iterator[Path]:
        """A local path to write to; at the end of the block the file is put in place."""
        yield Path()


def folder(uri: str, cache: Path | None = None) -> Folder:
    """The folder at ``uri``: a path is used in place, a URI (``scheme://``) through a local cache.

    Raises:
        LlinkError: a scheme that cannot be read, or a file where a directory is expected.
    """
    if "://" in uri:
        return RemoteFolder(uri, cache or default_cache())
    root = Path(uri).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise LlinkError(f"The feature store {root} is a file: give a directory, or a URI such as s3://…")
    return LocalFolder(root)


def default_cache() -> Path:
    """Where copies of remote features are kept: ``$LLINK_CACHE`` or the user's cache directory."""
    return cache_root() / "features"


class LocalFolder:
    """Files of a local directory, used in place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fetch(self, name: str, *, fresh: bool = False) -> Path | None:
        """The file itself."""
        path = self.root / name
        return path if path.is_file() else None

    def names(self, under: str) -> list[str]:
        """Files that are there whole; half-written ones begin with a dot."""
        place = self.root / under
        with _speaking("read", place):
            found = sorted(place.iterdir()) if place.is_dir() else []
        return [f"{under}/{path.name}" for path in found if not path.name.startswith(".")]

    def remove(self, name: str) -> None:
        """Unlink."""
        with _speaking("write", self.root / name):
            (self.root / name).unlink(missing_ok=True)

    @contextmanager
    def put(self, name: str) -> Iterator[Path]:
        """Write beside the target, then rename."""
        with _speaking("write", self.root / name), _replacing(self.root / name) as path:
            yield path


class RemoteFolder:
    """Files behind a URI; each is copied to a local cache once and mapped from there."""

    def __init__(self, uri: str, cache: Path) -> None:
        from pyarrow.fs import FileSystem

        try:
            self._fs, self._base = FileSystem.from_uri(uri)
        except (OSError, ValueError) as error:
            raise LlinkError(f"Cannot use {uri} as a feature store: {_first_line(error)}") from error
        self._uri = uri.rstrip("/")
        self._cache = cache / hashlib.sha256(self._uri.encode()).hexdigest()[:16]

    def fetch(self, name: str, *, fresh: bool = False) -> Path | None:
        """The cached copy, fetched where there is none of the right size."""
        from pyarrow.fs import FileType

        cached = self._cache / name
        with _speaking("read", f"{self._uri}/{name}"):
            info = self._fs.get_file_info(f"{self._base}/{name}")
            if info.type != FileType.File:
                return None
            if fresh or not cached.is_file() or cached.stat().st_size != info.size:
                with (
                    _replacing(cached) as path,
                    path.open("wb") as target,
                    self._fs.open_input_stream(info.path) as source,
                ):
                    _copied(source, target, f"{name} from {self._uri}", info.size)
        return cached

    def names(self, under: str) -> list[str]:
        """What the file system lists, half-written files left out."""
        from pyarrow.fs import FileSelector, FileType

        with _speaking("read", f"{self._uri}/{under}"):
            selector = FileSelector(f"{self._base}/{under}", allow_not_found=True)
            found = self._fs.get_file_info(selector)
        names = sorted(f.base_name for f in found if f.type == FileType.File)
        return [f"{under}/{name}" for name in names if name[0] != "." and not name.endswith(".tmp")]

    def remove(self, name: str) -> None:
        """Delete here and there."""
        from pyarrow.fs import FileType

        with _speaking("write", f"{self._uri}/{name}"):
            if self._fs.get_file_info(f"{self._base}/{name}").type == FileType.File:
                self._fs.delete_file(f"{self._base}/{name}")
            (self._cache / name).unlink(missing_ok=True)

    @contextmanager
    def put(self, name: str) -> Iterator[Path]:
        """Write to the cache, copy up under another name, then move."""
        from pyarrow.fs import FileType

        target = f"{self._base}/{name}"
        with _speaking("write", f"{self._uri}/{name}"), _replacing(self._cache / name) as path:
            yield path
            self._fs.create_dir(target.rpartition("/")[0], recursive=True)
            partial = f"{target}.{uuid.uuid4().hex}.tmp"
            with path.open("rb") as source, self._fs.open_output_stream(partial) as sink:
                _copied(source, sink, f"{name} to {self._uri}", path.stat().st_size)
            if self._fs.get_file_info(target).type != FileType.NotFound:
                self._fs.delete_file(target)  # some file systems refuse to move onto a file
            self._fs.move(partial, target)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A temporary neighbour of ``target`` that takes its place when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield path
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def _copied(source: IO[bytes], sink: IO[bytes], what: str, size: int) -> None:
    with track(what, "MB", size) as progress:
        while block := source.read(1 << 20):
            sink.write(block)
            progress.advance(len(block))


@contextmanager
def _speaking(verb: str, what: Any) -> Iterator[None]:
    """Turn a refusal of the file system into a sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise JobFailed(
            f"Cannot {verb} features at {what} ({reason}): free or permit it, or name another place "
            f"with features.directory."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
