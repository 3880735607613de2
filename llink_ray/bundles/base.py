"""The shared base of a pair of models, and training that starts from it or from any other bundle."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llink_ray.bundles.bundle import read_bundle, write_bundle
from llink_ray.bundles.manifest import INDEX, BundleInfo
from llink_ray.errors import LlinkError
from llink_ray.models.locate import locate, weights_of
from llink_ray.models.pretrained.catalogue import find_model
from llink_ray.settings import Settings
from llink_ray.settings.slots import SLOT_VARIANTS

if TYPE_CHECKING:
    import torch

    from llink_ray.text.languages import Language

MULTILINGUAL = "mul"
"""Code of a bundle for many languages (ISO 639-2)."""
BASE = "base"
"""Value of ``init_from`` for the base that ships with the package."""
SHIPPED = Path(str(resources.files("llink_ray.models.base"))) / "small"
"""The base for the small pair of real models."""
SENTENCES = SHIPPED.parent / "sentences.yaml"
"""What a demo may ask of it."""
_SHAPED = ("projector", "slots", "lora")
_READING = {
    "encoder": ("layers", "token_layer", "text_tokens_only", "prompt"),
    "decoder": ("teacher", "system"),
}


def start_bundle(settings: Settings) -> Path | None:
    """Folder of the bundle that training starts from; None where it starts from new modules.

    Raises:
        LlinkError: there is no base in this package.
    """
    if settings.init_from is None:
        return None
    if settings.init_from != BASE:
        return Path(settings.init_from).expanduser()
    if not (SHIPPED / INDEX).is_file():
        raise LlinkError("this package ships no base: give --init-from the directory of a bundle")
    return SHIPPED


def check_start(settings: Settings, fingerprints: dict[str, str]) -> BundleInfo | None:
    """The record of the bundle that training starts from, if any, after a look at what has to agree.

    Raises:
        LlinkError: no bundle, damaged, for other models, or with modules of another shape.
    """
    folder = start_bundle(settings)
    if folder is None:
        return None
    info = read_bundle(folder)
    for part, model in (("encoder", info.encoder), ("decoder", info.decoder)):
        if model.fingerprint != fingerprints[part]:
            named, theirs = getattr(settings, part).model, model.weights or "unknown weights"
            if named == model.id and find_model(named):
                raise LlinkError(
                    f"--init-from {folder} was trained with other weights of {named} ({theirs}) than those "
                    f"here ({weights_of(named)}, in {locate(named, part)}): remove these, and `llink-ray "
                    "models get` fetches anew, or leave --init-from out"
                )
            raise LlinkError(
                f"--init-from {folder} was trained with another {part} ({model.id}, {theirs}): start from a "
                f"bundle for {named}, or leave --init-from out"
            )
    before = Settings.model_validate(info.settings)
    free = ("dropout", *SLOT_VARIANTS[before.slots.variant].free)
    wanted = [(part, None) for part in _SHAPED] + [
        (part, key) for part, keys in _READING.items() for key in keys
    ]
    for part, key in wanted:
        ours, there = (
            section.model_dump(mode="json") for section in (getattr(settings, part), getattr(before, part))
        )
        for name in [key] if key else sorted(ours):
            if ours[name] != there[name] and name not in free:
                raise LlinkError(
                    f"--init-from {folder} has {part}.{name}={json.dumps(there[name])}, this run "
                    f"{json.dumps(ours[name])}: set {part}.{name} likewise, or leave --init-from out"
                )
    return info


def load_modules(
    folder: Path, projector: torch.nn.Module | None, slots: torch.nn.Module | None, adapted: Any | None
) -> None:
    """Load the weights of a checked bundle into modules of the same shape, those that are given."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    from llink_ray.bundles.slot_encoder import PROJECTOR, SLOTS

    for module, name in ((projector, PROJECTOR), (slots, SLOTS)):
        if module is not None:
            module.load_state_dict(load_file(folder / name))
    if adapted is not None:
        set_peft_model_state_dict(adapted, load_file(folder / "lora" / "adapter_model.safetensors"))


def as_language(base: Path, language: Language, destination: Path) -> Path:
    """The base as a bundle for one language, as it is; its ``parent`` is the base.

    Raises:
        LlinkError: no bundle, damaged, or ``destination`` holds something else.
    """
    info = read_bundle(base)
    assert info.digest is not None
    fields = {"language": language.code, "language_name": language.name, "parent": info.digest}
    own = info.model_copy(update={**fields, "files": {}, "digest": None})

    def fill(folder: Path) -> None:
        for name in info.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, folder / name)

    return write_bundle(destination, own, fill)
