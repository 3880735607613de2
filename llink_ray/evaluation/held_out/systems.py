"""The systems compared: the decoder on the foreign text, on the human English, and bundles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import BundleInfo
from llink_ray.errors import LlinkError
from llink_ray.evaluation.held_out.loaded_system import LoadedSystem, Side
from llink_ray.models.encoder import Encoder
from llink_ray.models.locate import fingerprint
from llink_ray.settings import DecoderSettings, EncoderSettings, Settings
from llink_ray.text.languages import Language, find

Role = Literal["floor", "ceiling", "trained_ceiling", "adapted", "bundle"]
FLOOR, CEILING = "floor", "ceiling"
T = TypeVar("T")


@dataclass(frozen=True)
class System:
    """One of the systems compared; loaded when a figure of it is not cached."""

    name: str
    role: Role
    reads: Side
    identity: str
    """Hash of the weights, and of all else that its answers depend on."""
    teacher: str
    """How its teacher's states are read; retrieval alone depends on it."""
    load: Callable[[ModelCache], LoadedSystem]
    about: dict[str, Any]
    """For the document."""


@dataclass(frozen=True)
class FrozenModels:
    """The frozen models that a measurement is about."""

    language: Language
    encoder: EncoderSettings
    encoder_fingerprint: str
    decoder: DecoderSettings
    decoder_fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """For the document."""
        parts = (
            ("encoder", self.encoder, self.encoder_fingerprint),
            ("decoder", self.decoder, self.decoder_fingerprint),
        )
        return {
            part: {"model": section.model, "revision": section.revision, "fingerprint": fingerprint}
            for part, section, fingerprint in parts
        }


class ModelCache:
    """Keeps the last model that was loaded: systems are measured one after the other."""

    def __init__(self) -> None:
        from transformers.utils import logging

        logging.disable_progress_bar()  # of weights, between the lines of progress
        self._key, self._model = "", cast("object", None)

    def get(self, key: str, load: Callable[[], T]) -> T:
        """The model of ``key``, loaded in place of any other."""
        if key != self._key:
            self._key, self._model = "", None
            gc.collect()  # modules with adapters are cycles
            self._model = load()
            self._key = key
        return cast("T", self._model)


def device() -> str:
    """Where models are put."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def untrained_models(language: Language, settings: Settings) -> FrozenModels:
    """The settings' models; what they leave open comes from the language table.

    Raises:
        LlinkError: there is none, or it cannot be found.
    """
    sections: dict[str, Any] = {}
    for part, recommended in (("encoder", language.encoder), ("decoder", language.decoder)):
        section = getattr(settings, part)
        if not section.model and recommended is None:
            raise LlinkError(f"no {part} is known to be good for {language.name}: give --{part}")
        model = str(section.model or recommended)
        sections[part] = section.model_copy(update={"model": model})
        sections[f"{part}_fingerprint"] = fingerprint(model, section.revision, part)
    return FrozenModels(language, **sections)


def bundle_models(folders: Sequence[str], encoder: str | None, decoder: str | None) -> list[BundleInfo]:
    """The records of bundles that can stand side by side: of one language, on one decoder.

    Raises:
        LlinkError: no bundle, damaged, other weights than those found here, or not comparable.
    """
    from llink_ray.bundles.slot_encoder import require_same_model

    infos = [read_bundle(Path(folder)) for folder in folders]
    for info, folder in zip(infos, folders, strict=True):
        if info.language != infos[0].language:
            raise LlinkError(
                f"bundle {folder} is for {find(info.language).name}, {folders[0]} for "
                f"{find(infos[0].language).name}: give bundles of one language"
            )
        for part, name in (("encoder", encoder), ("decoder", decoder)):
            recorded, section = getattr(info, part), getattr(Settings.model_validate(info.settings), part)
            present = fingerprint(name or section.model, section.revision, part)
            require_same_model(info.language, recorded, present, part)
        if info.decoder.fingerprint != infos[0].decoder.fingerprint:
            raise LlinkError(
                f"bundle {folder} was trained on another decoder than {folders[0]}: floor and ceiling are "
                "the decoder's, so measure each by itself"
            )
    return infos


def models_of(info: BundleInfo, encoder: str | None, decoder: str | None) -> FrozenModels:
    """A bundle's frozen models; ``encoder`` and ``decoder`` name them in place of the bundle's own names."""
    settings = Settings.model_validate(info.settings)
    return FrozenModels(
        find(info.language),
        settings.encoder.model_copy(update={"model": encoder or settings.encoder.model}),
        info.encoder.fingerprint,
        settings.decoder.model_copy(update={"model": decoder or settings.decoder.model}),
        info.decoder.fingerprint,
    )


def untrained_systems(models: FrozenModels) -> list[System]:
    """The untrained decoder, on the foreign text and on the human English."""
    from llink_ray.models.decoder import Decoder

    def loader(side: Side) -> Callable[[ModelCache], LoadedSystem]:
        return lambda cache: LoadedSystem(
            cache.get(f"decoder {identity} {teacher}", lambda: Decoder.load(models.decoder, device())), side
        )

    teacher = models.decoder.model_dump_json(
        exclude={"model", "revision", "gradient_checkpointing", "system"}
    )
    identity, system = models.decoder_fingerprint, models.decoder.system
    if system is not None:  # prompts depend on it
        identity = f"{identity} {system!r}"
    about = {"decoder": models.decoder.model}
    return [
        System(FLOOR, "floor", "foreign", identity, teacher, loader("foreign"), about),
        System(CEILING, "ceiling", "english", identity, teacher, loader("english"), about),
    ]


def bundle_system(folder: str, name: str, info: BundleInfo, models: FrozenModels) -> System:
    """A bundle; a second ceiling where it was trained with the English in the prompt."""
    from llink_ray.bundles.pipeline import load

    settings = Settings.model_validate(info.settings)
    side = settings.stage_b.source

    def loader(cache: ModelCache) -> LoadedSystem:
        names = models.encoder.model, models.decoder.model
        pipeline = cache.get(f"bundle {info.digest}", lambda: load(folder, device(), *names))
        return LoadedSystem(pipeline.decoder, side, pipeline)

    about = {
        "bundle": folder,
        "digest": info.digest,
        "preset": settings.preset,
        "slots": info.slots.model_dump(),
        "trained_on": info.corpus_hash,
        "seed": info.seed,
        "commit": info.commit,
    }
    role: Role = "trained_ceiling" if side == "english" else "bundle"
    return System(name, role, side, str(info.digest), "", loader, about)


def english_with_adapters(folder: str, name: str, info: BundleInfo, models: FrozenModels) -> System:
    """The human English read by the decoder with a bundle's adapters on: what they leave of its ability."""
    from llink_ray.bundles.pipeline import load

    def loader(cache: ModelCache) -> LoadedSystem:
        names = models.encoder.model, models.decoder.model
        pipeline = cache.get(f"bundle {info.digest}", lambda: load(folder, device(), *names))
        return LoadedSystem(pipeline.decoder, "english", adapted=pipeline.model.decoder)

    about = {"bundle": folder, "digest": info.digest}
    return System(f"{name}, on English", "adapted", "english", f"{info.digest} on English", "", loader, about)


def load_encoder(models: FrozenModels) -> Encoder:
    """The frozen encoder with its own sentence vectors, whatever layers the projectors read."""
    return Encoder.load(models.encoder.model_copy(update={"layers": ()}), device())


def bundle_names(folders: Sequence[str]) -> list[str]:
    """Short names that differ: a folder's, with its parent's where it says little."""
    names: list[str] = []
    for folder in folders:
        path = Path(folder).resolve()
        name = path.parent.name if path.name == "bundle" else f"{path.parent.name}/{path.name}"
        taken = [FLOOR, CEILING, *names]
        count = 1 + sum(other == name or other.startswith(f"{name} (") for other in taken)
        names.append(name if count == 1 else f"{name} ({count})")
    return names
