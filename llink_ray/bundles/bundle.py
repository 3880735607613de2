"""What training leaves behind: one directory that stands alone.

    bundle.json                     format version, models, slots, settings, seed, SHA-256 of every file
    projector.safetensors           Stage A
    slots.safetensors               Stage B
    lora/adapter_config.json        Stage B, PEFT format
    lora/adapter_model.safetensors
    metrics.json                    the figures
    README.md                       the model card
    training_text.safetensors       hashes of the training text (optional)
    known_text.safetensors          novelty detector fitted on it (optional)

Files are hashed as bytes, so a registry needs no torch. The digests guard against damage and mix-ups; they
are not a signature.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from llink_ray.bundles.manifest import (
    INDEX,
    REQUIRED,
    BundleInfo,
    check_names,
    parse_info,
)
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.storage.atomic import atomic_directory
from llink_ray.storage.paths import is_junk
from llink_ray.storage.redact import redact_tree

_log = logging.getLogger(__name__)
_MAX_NAMES = 5  # of unlisted files, in a warning
_PEFT_CARD = "lora/README.md"  # PEFT writes it with the base model's path on this machine; ours says more


def write_bundle(destination: Path, info: BundleInfo, write_files: Callable[[Path], None]) -> Path:
    """Write a bundle atomically: ``destination`` is the old bundle, if any, or the whole new one.

    ``write_files(directory)`` writes the ``REQUIRED`` files, and may write more, into a temporary sibling.
    Then local paths and keys are removed from its JSON files, every file is hashed, ``bundle.json`` is
    written last and the directory renamed.

    Raises:
        LlinkError: ``destination`` holds something that is not a bundle; nothing was written.
        JobFailed: the disk refused, or ``write_files`` left something out; the temporary directory is gone.
    """
    destination = Path(destination)
    with atomic_directory(
        destination, what="the bundle", elsewhere="name another place with --output"
    ) as directory:
        _refuse_to_overwrite(destination)
        write_files(directory)
        (directory / _PEFT_CARD).unlink(missing_ok=True)
        where = f"the new bundle for {destination}"
        names = _names_on_disk(directory, where)
        for name in REQUIRED:
            if name not in names:
                raise JobFailed(f"{where} was not written: {name} is missing from what training left")
        for name in names:
            if name.endswith(".json"):
                _make_portable(directory / name, f"{where}: {name}")
        sealed = info.redact().sealed({name: _sha256(directory / name) for name in names})
        (directory / INDEX).write_text(sealed.to_json(), encoding="utf-8")
    return destination


def read_bundle(path: Path) -> BundleInfo:
    """Verify every byte of the bundle at ``path`` and return its record.

    Raises:
        LlinkError: not a bundle, made for another format version, or a file that it lists is missing,
            damaged, pickled, or leads out of the directory; the message names the file.
    """
    path = Path(path)
    try:
        text = (path / INDEX).read_text(encoding="utf-8")
    except NotADirectoryError as error:
        raise LlinkError(
            f"{path} is a file, but a bundle is a directory: give the folder that holds {INDEX}"
        ) from error
    except FileNotFoundError as error:
        what = (
            f"{path} is not a bundle, it has no {INDEX}" if path.exists() else f"there is no bundle at {path}"
        )
        raise LlinkError(f"{what}: give the directory that training wrote") from error
    except UnicodeDecodeError as error:
        raise LlinkError(f"{INDEX} in {path} is damaged (not UTF-8): copy the bundle again") from error
    except OSError as error:
        raise LlinkError(f"{INDEX} in {path} cannot be read ({error.strerror}): look at the disk") from error
    info = parse_info(text, str(path))
    check_bundle(path, info, str(path))
    return info


def check_bundle(directory: Path, info: BundleInfo, where: str) -> None:
    """Compare every file that ``info`` lists with ``directory``; ``where`` is its name in the error.

    Other files are never read; a warning names them.

    Raises:
        LlinkError: names the first file that is missing, damaged or not allowed.
    """
    for name in (INDEX, *info.files):
        if name != INDEX or (directory / INDEX).exists():
            _require_plain(directory, name, where)
    for name, expected in info.files.items():
        try:
            actual = _sha256(directory / name)
        except OSError as error:
            raise _unreadable(name, where, error) from error
        if actual != expected:
            raise LlinkError(f"{name} in the bundle {where} is damaged (SHA-256 differs): copy it again")
    if unlisted := _unlisted(directory, info):
        more = f" and {len(unlisted) - _MAX_NAMES:,} more" if len(unlisted) > _MAX_NAMES else ""
        names = ", ".join(unlisted[:_MAX_NAMES])
        _log.warning("ignored in the bundle %s, whose %s does not list them: %s%s", where, INDEX, names, more)


def _require_plain(directory: Path, name: str, where: str) -> None:
    """A listed file is a file, and no part of its path is a link that leads elsewhere.

    Raises:
        LlinkError: it is not, or it is missing.
    """
    path = directory
    for part in PurePosixPath(name).parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            raise LlinkError(
                f"{name} is missing from the bundle {where}: copy the whole directory again"
            ) from error
        except OSError as error:
            raise _unreadable(name, where, error) from error
        if stat.S_ISLNK(mode):
            link = path.relative_to(directory).as_posix()
            raise LlinkError(f"{link} in the bundle {where} is a link: put the file itself there")
    if not stat.S_ISREG(mode):
        raise LlinkError(f"{name} in the bundle {where} is not a plain file: copy it again")


def _unlisted(directory: Path, info: BundleInfo) -> list[str]:
    """Names, in the folders of a bundle's files, that its index does not list."""
    listed = {INDEX, *info.files}
    folders = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
    unlisted: list[str] = []
    for folder in sorted(folders):
        try:
            entries = os.listdir(directory / folder)  # noqa: PTH208 - names alone
        except OSError:
            continue
        paths = (entry if folder == "." else f"{folder}/{entry}" for entry in sorted(entries))
        unlisted += [path for path in paths if path not in listed and path not in folders]
    return unlisted


def _refuse_to_overwrite(destination: Path) -> None:
    """A bundle may be replaced by a bundle; other files may not."""
    other_folder = destination.is_dir() and not (destination / INDEX).is_file()
    if destination.is_file() or (
        other_folder and any(not is_junk(entry.name) for entry in destination.iterdir())
    ):
        raise LlinkError(
            f"{destination} exists and is not a bundle: name another place with --output, or remove it"
        )


def _names_on_disk(directory: Path, where: str) -> list[str]:
    """Relative POSIX paths of all files, sorted; links and special files are refused.

    What file systems and desktops leave in any folder is no part of a bundle.
    """
    names = []

    def refuse(error: OSError) -> None:
        raise _unreadable(str(error.filename), where, error) from error

    for folder, folders, files in os.walk(directory, onerror=refuse):
        folders[:] = [entry for entry in folders if not is_junk(entry)]
        for entry in (*folders, *(entry for entry in files if not is_junk(entry))):
            path = Path(folder, entry)
            name = path.relative_to(directory).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise LlinkError(f"{name} in the bundle {where} is a link: put the file itself there")
            if stat.S_ISREG(mode):
                names.append(name)
            elif not stat.S_ISDIR(mode):
                raise LlinkError(f"{name} in the bundle {where} is not a plain file: remove it")
    check_names((name for name in names if name != INDEX), where)
    return sorted(names)


def _unreadable(name: str, where: str, error: OSError) -> LlinkError:
    return LlinkError(f"{name} in the bundle {where} cannot be read ({error.strerror}): look at the disk")


def _make_portable(path: Path, where: str) -> None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobFailed(f"{where} is not JSON") from error
    clean = redact_tree(content)
    if clean != content:
        path.write_text(json.dumps(clean, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
