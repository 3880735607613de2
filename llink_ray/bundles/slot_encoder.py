"""The part of a bundle before the decoder: from the encoder's output to slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from llink_ray.bundles.manifest import BundleInfo, ModelInfo
from llink_ray.errors import LlinkError
from llink_ray.models.novelty import FILE as NOVELTY
from llink_ray.models.novelty import NoveltyDetector
from llink_ray.models.projector import Projector
from llink_ray.models.slots import SlotModule, slot_module
from llink_ray.models.teacher_norm import normalised
from llink_ray.settings import Settings, TeacherSettings

if TYPE_CHECKING:
    from llink_ray.models.encoder import Encoded

PROJECTOR, SLOTS = "projector.safetensors", "slots.safetensors"


def count_characters_read(tokenizer: Any, text: str, max_tokens: int) -> int:
    """How many characters of an English text a teacher reads that truncates it to ``max_tokens``."""
    if not getattr(tokenizer, "is_fast", False):
        return len(text)
    tokens = tokenizer(text, truncation=False, return_offsets_mapping=True)
    if len(tokens["input_ids"]) <= max_tokens:
        return len(text)
    return max(int(end) for _, end in tokens["offset_mapping"][:max_tokens])


class TeacherSpace:
    """Brings the decoder's states of English text into the space of a bundle's vectors of foreign text."""

    def __init__(self, teacher: TeacherSettings, constants: Mapping[str, torch.Tensor]) -> None:
        self.teacher, self._constants = teacher, constants

    @classmethod
    def load(cls, folder: Path, info: BundleInfo) -> TeacherSpace:
        """From a verified bundle; reads nothing of the projector but its constants."""
        from safetensors import safe_open

        with safe_open(folder / PROJECTOR, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith("teacher_")]  # noqa: SIM118 - no mapping
            constants = {name: file.get_tensor(name) for name in names}
        return cls(Settings.model_validate(info.settings).decoder.teacher, constants)

    def transform(self, states: torch.Tensor) -> torch.Tensor:
        """Teacher states (N, d_dec), read out as :attr:`teacher` says, in that space."""
        return normalised(states, self._constants)


class SlotEncoder:
    """Projector and slots of a bundle; needs no decoder."""

    def __init__(
        self, projector: Projector, slots: SlotModule, novelty: NoveltyDetector | None = None
    ) -> None:
        self.projector, self.slots, self.novelty = projector.eval(), slots.eval(), novelty

    @classmethod
    def load(
        cls, folder: Path, info: BundleInfo, token_dim: int, settings: Settings | None = None
    ) -> SlotEncoder:
        """The two modules of a verified bundle, on the CPU.

        ``token_dim`` is the width of the encoder's token states.

        Raises:
            LlinkError: the weights do not fit the bundle's settings.
        """
        from safetensors.torch import load_file

        settings = settings or Settings.model_validate(info.settings)
        dim = info.decoder.hidden_size
        layers = len(settings.encoder.layers) or 1
        projector = Projector(info.encoder.hidden_size, dim, settings.projector, layers)
        slots = slot_module(settings.slots, dim, token_dim)
        for module, name in ((projector, PROJECTOR), (slots, SLOTS)):
            try:
                module.load_state_dict(load_file(folder / name))
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise LlinkError(f"{name} in {folder} does not fit the bundle's settings: {reason}") from None
        return cls(projector, slots, NoveltyDetector.load(folder) if NOVELTY in info.files else None)

    @torch.inference_mode()
    def project(self, encoded: Encoded) -> torch.Tensor:
        """(N, d_dec): vectors of N texts in the decoder's latent space."""
        projected: torch.Tensor = self.projector(encoded.vectors)
        return projected.float()

    def outside(self, encoded: Encoded) -> list[bool | None]:
        """Whether each of N texts is unlike the bundle's training text; None where that is not known."""
        if self.novelty is None:
            return [None] * len(encoded.vectors)
        return [*self.novelty.outside(encoded.vectors)]

    @torch.inference_mode()
    def prompt_rows(self, encoded: Encoded, texts: Sequence[str]) -> list[torch.Tensor]:
        """For each of N texts, (its positions, d_dec): the input embeddings that stand for it in a prompt."""
        encoded = encoded.with_slot_counts(map(self.slots.settings.slot_count, texts))
        slots = self.slots(self.projector(encoded.vectors), encoded)
        return list(self.slots.prompt_rows(slots).float().split(slots.positions().tolist()))


def require_same_model(language: str, expected: ModelInfo, fingerprint: str, part: str) -> None:
    """Refuse another model than the bundle's: it would load without an error and answer nonsense.

    Raises:
        LlinkError: the fingerprints differ.
    """
    if expected.fingerprint != fingerprint:
        raise LlinkError(
            f"the bundle for {language} was trained on another {part} than the {expected.id!r} found here "
            f"(fingerprint {expected.fingerprint[:12]}, here {fingerprint[:12]}): give that "
            f"{part}'s directory or revision"
        )
