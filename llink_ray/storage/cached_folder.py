"""A folder of files that are memory-mapped: used in place on a local path, through a cache at a URI."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.storage.atomic import atomic_file
from llink_ray.storage.object_store import ObjectStore
from llink_ray.storage.paths import cache_root


class CachedFolder:
    """Files by relative name; a file exists whole or not at all.

    Args:
        uri: a local path, or a URI (``scheme://``) that ``pyarrow.fs`` reads.
        cache: where copies of remote files go; None means ``$LLINK_CACHE`` or the user's cache directory.

    Raises:
        LlinkError: a scheme that cannot be read, or a file where a directory is expected.
    """

    def __init__(self, uri: str, cache: Path | None = None) -> None:
        self._is_remote = "://" in uri
        if self._is_remote:
            self._store = ObjectStore(uri)
            digest = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
            self._root = (cache or cache_root() / "features") / digest
            return
        self._root = Path(uri).expanduser().resolve()
        if self._root.exists() and not self._root.is_dir():
            raise LlinkError(
                f"The feature store {self._root} is a file: give a directory, or a URI such as s3://…"
            )
        self._store = ObjectStore(self._root)

    def fetch(self, name: str, *, fresh: bool = False) -> Path | None:
        """Local path of the file, None where it does not exist; ``fresh`` ignores a cached copy."""
        path = self._root / name
        if not self._is_remote:
            return path if path.is_file() else None
        size = self._store.size(name)
        if size is None:
            return None
        if fresh or not path.is_file() or path.stat().st_size != size:
            with _explained("read", path), atomic_file(path) as temporary:
                self._store.download(name, temporary)
        return path

    def names(self, under: str) -> list[str]:
        """Files of one folder, sorted, without unfinished ones; none where it does not exist."""
        names = self._store.names(under)
        return [f"{under}/{name}" for name in names if name[0] != "." and not name.endswith(".tmp")]

    def remove(self, name: str) -> None:
        """Delete a file, if it exists."""
        if self._store.present([name]):
            self._store.delete_file(name)
        (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def put(self, name: str) -> Iterator[Path]:
        """A local path to write to; when the block ends well, the file takes its place."""
        path = self._root / name
        with _explained("write", path), atomic_file(path) as temporary:
            yield temporary
            if self._is_remote:
                self._store.put_file(name, temporary)


@contextmanager
def _explained(verb: str, path: Path) -> Iterator[None]:
    """Turn a refusal of the local disk into a sentence."""
    try:
        yield
    except OSError as error:
        raise JobFailed(
            f"Cannot {verb} features at {path} ({error.strerror or error}): free or permit it, or name "
            "another place with features.directory."
        ) from error
