"""Models from the hub: pinned files into a directory, or the rest into the hub's own cache."""

from __future__ import annotations

import errno
import io
import shutil
from contextlib import redirect_stderr
from pathlib import Path

from llink_ray.models.pretrained.catalogue import Model

_TIMEOUT = 5.0
"""Seconds that the hub has for its first answer: a machine without a network must not wait for it."""
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt", "vocab.txt"]
_UNWANTED = ["onnx/*", "openvino/*", "original/*"]


class HubUnavailable(Exception):
    """The hub cannot give the model now; the text says why, as a clause."""


def from_cache(model: Model) -> dict[str, Path] | None:
    """Files of the pinned revision in the hub's own cache, by name; None unless all are there."""
    from huggingface_hub import try_to_load_from_cache

    assert model.hub is not None
    found = {f: try_to_load_from_cache(model.id, f, revision=model.revision) for f in model.hub.files}
    paths = {name: Path(path) for name, path in found.items() if isinstance(path, str)}
    return paths if len(paths) == len(found) else None


def probe(model: Model) -> None:
    """Ask the hub once, without retries, whether it has the model.

    Raises:
        NotOnTheHub: it is offline, cannot be reached, or does not give the model.
    """
    from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise HubUnavailable("HF_HUB_OFFLINE is set")
    try:
        get_hf_file_metadata(hf_hub_url(model.id, "config.json", revision=model.revision), timeout=_TIMEOUT)
    except errors.GatedRepoError as error:
        raise HubUnavailable("the hub wants the token of an account that accepted its licence") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise HubUnavailable("the hub does not have it") from error
    except Exception as error:  # whatever the HTTP client raises
        raise HubUnavailable(f"the hub cannot be reached ({type(error).__name__})") from error


def fetch(model: Model, folder: Path) -> None:
    """Write the catalogued files of the pinned revision into ``folder``.

    Raises:
        NotOnTheHub: the connection broke.
        OSError: the disk refused.
    """
    from huggingface_hub import hf_hub_download

    assert model.hub is not None
    for name in model.hub.files:
        try:
            with redirect_stderr(io.StringIO()):  # its progress bar
                hf_hub_download(
                    model.id, name, revision=model.revision, local_dir=folder, etag_timeout=_TIMEOUT
                )
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise
            raise HubUnavailable(
                f"{name} could not be fetched from the hub ({type(error).__name__})"
            ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of the download


def snapshot(model: Model) -> Path:
    """A model whose revision is not pinned, fetched into the hub's own cache; its directory there.

    Raises:
        Exception: what the hub's library raises; see ``models.locate.explain_errors``.
    """
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model.id, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))


def cache_folder(model: Model) -> Path:
    """Where the hub's own cache keeps a model."""
    from huggingface_hub import constants, repo_folder_name

    folder: str = repo_folder_name(repo_id=model.id, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / folder


def cached_snapshot(model: Model) -> Path | None:
    """The directory of a model in the hub's own cache, if its configuration and weights are there."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model.id, "config.json", revision=model.revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if any(folder.glob("*.safetensors")) else None
