"""What is here of the catalogue: where, how large, which weights, under which licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llink_ray.models.pretrained import hub
from llink_ray.models.pretrained.catalogue import Model, catalogue
from llink_ray.models.pretrained.model_cache import HUB, cached_directory, models_root, read_source


def listing() -> dict[str, Any]:
    """All catalogued pairs as a JSON document."""
    pairs = [
        {"pair": pair.name, "encoder": describe(pair.encoder), "decoder": describe(pair.decoder)}
        for pair in catalogue().pairs.values()
    ]
    return {"job": "models list", "cache": str(models_root()), "pairs": pairs}


def describe(model: Model) -> dict[str, Any]:
    """One model: ``directory``, ``weights`` and ``bytes`` are None where it is not here."""
    folder = cached_directory(model) or hub.cached_snapshot(model)
    source = read_source(folder) if folder else None
    return {
        "id": model.id,
        "licence": model.licence,
        "gated": model.gated,
        "from": _places(model),
        "directory": str(folder) if folder else None,
        "weights": (source.weights if source else HUB) if folder else None,
        "bytes": _size(folder) if folder else None,
    }


def rows(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """The document as a table, head first; a line for each model of each pair."""
    table: list[tuple[str, ...]] = [("pair", "model", "here", "weights", "licence")]
    for pair in document["pairs"]:
        for name, model in ((pair["pair"], pair["encoder"]), ("", pair["decoder"])):
            size = f"{model['bytes'] / 1e6:.0f} MB" if model["bytes"] is not None else "no"
            licence = f"{model['licence']}, gated" if model["gated"] else model["licence"]
            table.append((name, model["id"], size, model["weights"] or "", licence))
    return table


def _places(model: Model) -> list[str]:
    """In the order in which they are tried."""
    packages = [t.package for t in model.packages.take] if model.packages else []
    return [*packages, HUB] if model.first == "packages" else [HUB, *packages]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
