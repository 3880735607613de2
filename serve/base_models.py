"""Which frozen models the bundles of a registry need."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from llink_ray.bundles.manifest import BundleInfo
from llink_ray.bundles.registry import Registry
from llink_ray.errors import LlinkError
from llink_ray.settings import DecoderSettings, EncoderSettings, Settings


def encoder_name(settings: EncoderSettings) -> str:
    """Name of an encoder's deployment; another pooling or prompt is another encoder."""
    dump = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    digest = hashlib.sha256(dump.encode()).hexdigest()[:8]
    return f"encoder_server-{re.sub('[^A-Za-z0-9._-]+', '-', settings.model)}-{digest}"


def current_bundles(registry: Registry) -> list[BundleInfo]:
    """Records of the current bundles; where one cannot be read, that of the newest before it.

    Raises:
        JobFailed: the registry cannot be reached.
    """
    versions = registry.list()
    infos = []
    for current in (version for version in versions if version.current):
        older = [v for v in versions if v.language == current.language and v.number < current.number]
        for version in (current, *reversed(older)):
            try:
                infos.append(registry.info(version))
            except LlinkError:
                continue  # the catalog reports it
            break
    return infos


def required_models(
    bundles: list[BundleInfo], decoder: str | None, encoders: Mapping[str, str]
) -> tuple[DecoderSettings, dict[str, EncoderSettings]]:
    """The decoder of these bundles, and their encoders by deployment name.

    Args:
        bundles: one or more.
        decoder: directory or hub id of the decoder, where the bundles' own name does not lead to it.
        encoders: likewise, by the encoders' names in the bundles.

    Raises:
        LlinkError: bundles of several decoders.
    """
    fingerprints = {info.decoder.fingerprint: info for info in bundles}
    if len(fingerprints) > 1:
        names = ", ".join(f"{info.language}: {info.decoder.id}" for info in fingerprints.values())
        raise LlinkError(
            f"the bundles are for different decoders ({names}), and one is served at a time: keep a registry "
            "for each"
        )
    all_settings = [Settings.model_validate(info.settings) for info in bundles]
    base = all_settings[0].decoder
    if len({settings.decoder.system for settings in all_settings}) > 1:
        codes = ", ".join(info.language for info in bundles)
        raise LlinkError(
            f"the bundles ({codes}) were trained with different system messages (decoder.system), and one is "
            "served at a time: keep a registry for each"
        )
    by_name = {
        encoder_name(settings.encoder): settings.encoder.model_copy(
            update={"model": encoders.get(settings.encoder.model, settings.encoder.model)}
        )
        for settings in all_settings
    }
    return base.model_copy(update={"model": decoder or base.model}), by_name
