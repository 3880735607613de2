"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from llink_ray.errors import JobFailed

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary neighbour of ``path`` that takes its place when the block ends well.

    It is not flushed to the disk first. The disk's OSError is the caller's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file (text in UTF-8) by :func:`atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_directory(
    destination: Path, what: str, elsewhere: str, *, first_wins: bool = False
) -> Iterator[Path]:
    """A temporary directory beside ``destination`` that takes its name when the block ends well.

    Files are flushed to the disk before the rename, so a power cut leaves the old or the new directory.
    When the block fails or is interrupted, the temporary directory is removed and ``destination`` stays as
    it was. With ``first_wins``, a ``destination`` that another process finished meanwhile stays.

    Args:
        destination: the directory, which may exist.
        what: its name in the error message.
        elsewhere: how to choose another place, in the error message.
        first_wins: keep a ``destination`` that appeared meanwhile.

    Raises:
        JobFailed: the disk refused (full, read-only, …); names the path and the bytes left there.
    """
    destination = destination.resolve()
    token = f"{os.getpid()}-{secrets.token_hex(4)}"  # the pid alone repeats between containers
    temporary = destination.parent / f".{destination.name}.tmp-{token}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _sync(temporary)
        if first_wins:
            _rename_if_free(temporary, destination)
        else:
            _replace(temporary, destination, destination.parent / f".{destination.name}.old-{token}")
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk by its own error
        raise disk_refused(what, destination, error, elsewhere) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def disk_refused(what: str, path: Path, error: Exception, elsewhere: str) -> JobFailed:
    """The error for a failed write: what, where, bytes left, what to do."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    file = str(error.filename) if isinstance(error, OSError) and error.filename else ""
    if file and path.name not in file:  # the error is another file's
        reason += f": {file}"
    if number in _FORBIDDEN:
        remedy = f"make {path.parent} writable, or {elsewhere}"
    elif number in _FULL or "code: 28" in reason:
        remedy = f"free some space, or {elsewhere}"
    else:
        remedy = f"look at the disk, or {elsewhere}"
    free = f"{free_bytes(path):,} bytes free there"
    return JobFailed(f"could not write {what} {path} ({reason}; {free}): {remedy}")


def free_bytes(path: Path) -> int:
    """Bytes left for this user on the file system that holds ``path``, which need not exist yet."""
    for folder in (path, *path.parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return 0


def sync_file(path: Path) -> None:
    """Flush one file, or the entries of one directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    for path in directory.rglob("*"):
        sync_file(path)
    sync_file(directory)


def _rename_if_free(new: Path, destination: Path) -> None:
    try:
        new.rename(destination)
    except OSError:  # the rename refuses a directory that is not empty
        if not destination.is_dir():
            raise
    sync_file(destination.parent)


def _replace(new: Path, destination: Path, old: Path) -> None:
    try:
        if destination.exists():
            destination.rename(old)
        new.rename(destination)
    except BaseException:  # Ctrl-C between the two renames too
        if old.exists() and not destination.exists():
            old.rename(destination)
        raise
    sync_file(destination.parent)
    shutil.rmtree(old, ignore_errors=True)
