"""Which frozen models a registry's bundles want."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from llink_ray.bundles.bundle import BundleInfo
from llink_ray.bundles.registry import Registry, Version
from llink_ray.errors import LlinkError
from llink_ray.settings import DecoderSettings, EncoderSettings, Settings


def encoder_name(settings: EncoderSettings) -> str:
    """Name of the deployment for an encoder used this way: another pooling or prompt is another reader."""
    read = settings.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:8]
    return f"encoder_server-{re.sub('[^A-Za-z0-9._-]+', '-', settings.model)}-{digest}"


def current_bundles(registry: Registry) -> list[BundleInfo]:
    """Records of the bundles that answer; where one cannot be read, that of the newest before it.

    Raises:
        JobFailed: the registry cannot be reached.
    """
    versions = registry.list()
    found = []
    for current in (version for version in versions if version.current):
        older = [v for v in versions if v.language == current.language and v.number < current.number]
        for version in (current, *reversed(older)):
            if (info := _info(registry, version)) is not None:
                found.append(info)
                break
    return found


def _info(registry: Registry, version: Version) -> BundleInfo | None:
    try:
        return registry.info(version)
    except LlinkError:
        return None  # the catalog will say so


def models_of(
    bundles: list[BundleInfo], decoder: str | None, places: Mapping[str, str]
) -> tuple[DecoderSettings, dict[str, EncoderSettings]]:
    """The decoder of these bundles, and their encoders by name, at their places on this machine.

    ``decoder`` and ``places`` (by the encoder's name in the bundles) name directories where the bundles' own
    names do not lead to the models here.

    Raises:
        LlinkError: bundles of several decoders.
    """
    fingerprints = {info.decoder.fingerprint: info for info in bundles}
    if len(fingerprints) > 1:
        told = ", ".join(f"{info.language}: {info.decoder.id}" for info in fingerprints.values())
        raise LlinkError(
            f"the bundles are for different decoders ({told}), and one is served at a time: keep a registry "
            "for each"
        )
    settings = [Settings.model_validate(info.settings) for info in bundles]
    base = settings[0].decoder
    encoders = {
        encoder_name(one.encoder): one.encoder.model_copy(
            update={"model": places.get(one.encoder.model, one.encoder.model)}
        )
        for one in settings
    }
    return base.model_copy(update={"model": decoder or base.model}), encoders
