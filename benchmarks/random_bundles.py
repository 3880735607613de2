"""A registry whose bundles are of the usual shape and say nothing of use: time does not depend on weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch

from llink_ray.bundles.bundle import write_bundle
from llink_ray.bundles.manifest import BundleInfo, ModelInfo, SlotsInfo, package_versions
from llink_ray.bundles.pipeline import save_weights
from llink_ray.bundles.registry import Registry
from llink_ray.corpus import phrasebook
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoder
from llink_ray.models.llink import new_slots, with_lora
from llink_ray.models.projector import Projector
from llink_ray.settings import configure

QUIET, WORDY = 1e-3, 2.0
"""Adapters too weak to change the length of what the decoder says, and so strong that it often talks on."""


def publish(
    registry: Path, codes: Iterable[str] | None = None, preset: str = "tiny", noise: float = QUIET
) -> Registry:
    """A version of each language, whose adapters are normal with standard deviation ``noise``."""
    settings = configure.resolve(configure.preset(preset))
    encoder, published = Encoder.load(settings.encoder), Registry(registry)
    for seed, code in enumerate(codes or phrasebook.languages()):
        torch.manual_seed(seed)
        decoder = Decoder.load(settings.decoder)
        projector = Projector(encoder.dim, decoder.dim, settings.projector)
        slots = new_slots(decoder, settings, encoder.token_dim)
        model = with_lora(decoder.model, settings.lora)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, noise)
        info = BundleInfo(
            language=code,
            encoder=ModelInfo(
                id=settings.encoder.model, fingerprint=encoder.fingerprint, hidden_size=encoder.dim
            ),
            decoder=ModelInfo(
                id=settings.decoder.model, fingerprint=decoder.fingerprint, hidden_size=decoder.dim
            ),
            slots=SlotsInfo(
                count=settings.slots.most_slots,
                variant=settings.slots.variant,
                numerals=settings.slots.numerals,
            ),
            settings=settings.model_dump(mode="json"),
            corpus_hash="none",
            seed=seed,
            packages=package_versions(),
        )

        def fill(folder: Path, parts: tuple[object, object, object] = (projector, slots, model)) -> None:
            save_weights(folder, *parts)  # type: ignore[arg-type]
            (folder / "metrics.json").write_text("{}")
            (folder / "README.md").write_text("Random, for benchmarks alone.")

        with tempfile.TemporaryDirectory() as folder:
            published.publish(write_bundle(Path(folder, code), info, fill))
    return published
