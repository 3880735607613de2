"""What is put side by side: the decoder on the foreign text, on the human English, and bundles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from llink_ray.bundles.bundle import BundleInfo, read_bundle
from llink_ray.errors import LlinkError
from llink_ray.evaluation.real.scorer import LoadedSystem, Side
from llink_ray.models.encoder import Encoder
from llink_ray.models.locate import fingerprint
from llink_ray.settings import DecoderSettings, EncoderSettings, Settings
from llink_ray.text.languages import Language, find

Role = Literal["floor", "ceiling", "trained_ceiling", "bundle"]
FLOOR, CEILING = "floor", "ceiling"
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class System:
    """One of the things compared; loaded when a figure of it is missing."""

    name: str
    role: Role
    reads: Side
    identity: str
    """Hash of the weights, and of all else that changes what it says."""
    teacher: str
    """How its teacher's states are read, which retrieval alone asks."""
    load: Callable[[Holder], LoadedSystem]
    about: dict[str, Any]
    """For the document."""


@dataclass(frozen=True)
class Models:
    """The frozen models that a measurement is about."""

    language: Language
    encoder: EncoderSettings
    encoder_print: str
    decoder: DecoderSettings
    decoder_print: str

    def as_dict(self) -> dict[str, Any]:
        """For the document."""
        told = (("encoder", self.encoder, self.encoder_print), ("decoder", self.decoder, self.decoder_print))
        return {
            part: {"model": section.model, "revision": section.revision, "fingerprint": found}
            for part, section, found in told
        }


class Holder:
    """One loaded thing at a time: systems are measured one after the other."""

    def __init__(self) -> None:
        from transformers.utils import logging

        logging.disable_progress_bar()  # of weights, between the lines that say what is measured
        self._key, self._thing = "", cast("object", None)

    def get(self, key: str, load: Callable[[], Thing]) -> Thing:
        """The thing of ``key``, loaded in place of any other."""
        if key != self._key:
            self._key, self._thing = "", None
            gc.collect()  # modules with adapters are cycles
            self._thing = load()
            self._key = key
        return cast("Thing", self._thing)


def device() -> str:
    """Where models are put."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def untrained_models(language: Language, settings: Settings) -> Models:
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
        sections[f"{part}_print"] = fingerprint(model, section.revision, part)
    return Models(language, **sections)


def bundle_models(folders: Sequence[str], encoder: str | None, decoder: str | None) -> list[BundleInfo]:
    """The records of bundles that can stand side by side: of one language, on one decoder.

    Raises:
        LlinkError: no bundle, damaged, other weights than those found here, or not comparable.
    """
    from llink_ray.bundles.slot_encoder import require_same

    infos = [read_bundle(Path(folder)) for folder in folders]
    for info, folder in zip(infos, folders, strict=True):
        if info.language != infos[0].language:
            raise LlinkError(
                f"bundle {folder} is for {find(info.language).name}, {folders[0]} for "
                f"{find(infos[0].language).name}: give bundles of one language"
            )
        for part, name in (("encoder", encoder), ("decoder", decoder)):
            told, section = getattr(info, part), getattr(Settings.model_validate(info.settings), part)
            require_same(
                info.language, told, fingerprint(name or section.model, section.revision, part), part
            )
        if info.decoder.fingerprint != infos[0].decoder.fingerprint:
            raise LlinkError(
                f"bundle {folder} was trained on another decoder than {folders[0]}: floor and ceiling are "
                "the decoder's, so measure each by itself"
            )
    return infos


def models_of(info: BundleInfo, encoder: str | None, decoder: str | None) -> Models:
    """A bundle's frozen models, under the names given here where there are some."""
    settings = Settings.model_validate(info.settings)
    return Models(
        find(info.language),
        settings.encoder.model_copy(update={"model": encoder or settings.encoder.model}),
        info.encoder.fingerprint,
        settings.decoder.model_copy(update={"model": decoder or settings.decoder.model}),
        info.decoder.fingerprint,
    )


def untouched(models: Models) -> list[System]:
    """The decoder as it came, on the foreign text and on the human English."""
    from llink_ray.models.decoder import Decoder

    def reading(side: Side) -> Callable[[Holder], LoadedSystem]:
        return lambda holder: LoadedSystem(
            holder.get(f"decoder {identity} {teacher}", lambda: Decoder.load(models.decoder, device())), side
        )

    teacher = models.decoder.model_dump_json(exclude={"model", "revision", "gradient_checkpointing"})
    identity = models.decoder_print
    about = {"decoder": models.decoder.model}
    return [
        System(FLOOR, "floor", "foreign", identity, teacher, reading("foreign"), about),
        System(CEILING, "ceiling", "english", identity, teacher, reading("english"), about),
    ]


def taught(folder: str, name: str, info: BundleInfo, models: Models) -> System:
    """A bundle; a second ceiling where it was trained with the English in the prompt."""
    from llink_ray.bundles.pipeline import load

    settings = Settings.model_validate(info.settings)
    side = settings.stage_b.source

    def loaded(holder: Holder) -> LoadedSystem:
        names = models.encoder.model, models.decoder.model
        made = holder.get(f"bundle {info.digest}", lambda: load(folder, device(), *names))
        return LoadedSystem(made.decoder, side, made)

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
    return System(name, role, side, str(info.digest), "", loaded, about)


def encoder_of(models: Models) -> Encoder:
    """The frozen encoder, which gives its own sentence vectors whatever projectors read of it."""
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
