"""A taught decoder: what ``llink_ray.load(bundle)`` gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from llink_ray.bundles.bundle import read_bundle
from llink_ray.progress import track
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.prompts.message import Segment, split_message
from llink_ray.settings import Settings
from llink_ray.text.languages import find
from llink_ray.text.normalisation import VERSION, normalise, visible
from llink_ray.text.zawgyi import require_unicode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from llink_ray.models.decoder import Decoder
    from llink_ray.models.encoder import Encoded, Encoder
    from llink_ray.models.known_text import KnownText
    from llink_ray.models.llink import LlinkModel

LORA = "lora"


class LlinkPipeline:
    """Encoder, projector, slots, decoder and adapters of one language, ready to answer.

    Texts are in that language; where ``settings.stage_b.source`` is ``english``, in English.
    Answers are greedy and do not depend on what else is in the batch. Whatever is read is first brought into
    the form that the training text had (``normalisation``, a version of :mod:`llink_ray.text.normalisation`).
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        model: LlinkModel,
        settings: Settings,
        language: str,
        normalisation: int = VERSION,
        known: KnownText | None = None,
    ) -> None:
        self.encoder, self.decoder, self.settings, self.language = encoder, decoder, settings, language
        self.known = known
        self.model = model.eval()
        self.normalisation = normalisation

    def normalise(self, text: str) -> str:
        """A text in the form that training had."""
        return normalise(text, self.normalisation)

    def segments(self, text: str) -> list[Segment]:
        """What of a message becomes slots, sentence by sentence, and what stays English text.

        Raises:
            LlinkError: more foreign sentences than ``slots.max_sentences``, or text in a font's encoding.
        """
        require_unicode(text, find(self.language))
        parts = split_message(visible(text), find(self.language), self.settings.slots.max_sentences)
        return self._normalised(parts)

    def _normalised(self, parts: Sequence[Segment]) -> list[Segment]:
        return [Segment(self.normalise(part.text), part.foreign) for part in parts]

    def sources(self, texts: Sequence[str]) -> Encoded:
        """What the encoder says of B texts, on the decoder's device."""
        slots, texts = self.settings.slots, [self.normalise(text) for text in texts]
        encoded = self.encoder.encode(texts, with_tokens=slots.reads_tokens)
        return encoded.with_slot_counts(map(slots.slot_count, texts)).to(self.decoder.device)

    def outside(self, texts: Sequence[str]) -> list[bool | None]:
        """Whether each text, read as one sentence, is unlike all that the bundle was trained on.

        None where the bundle does not say. An answer about such text may well be made up.
        """
        if self.known is None:
            return [None] * len(texts)
        return [
            far
            for text in texts
            for far in self.known.outside(self.encoder.encode([self.normalise(text)]).vectors)
        ]

    def answer_all(
        self,
        asked: Sequence[tuple[str, str | list[Segment]]],
        batch_size: int | None = None,
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Answers to (instruction, message) pairs, in order; a text is cut into :meth:`segments` first."""
        import torch

        from llink_ray.models.llink import collate

        evaluation = self.settings.evaluation
        limit = max_new_tokens or evaluation.max_new_tokens
        answers: dict[int, str] = {}
        language = find(self.language)
        messages = [
            self.segments(said) if isinstance(said, str) else self._normalised(said) for _, said in asked
        ]
        rows = [
            self.decoder.prompt_builder.slot_prompt(
                visible(instruction), parts, self.settings.slots, language
            )
            for (instruction, _), parts in zip(asked, messages, strict=True)
        ]
        with track("answers", "questions", len(rows)) as progress:
            for part in _by_length([len(row) for row in rows], batch_size or evaluation.batch_size):
                with torch.inference_mode():
                    foreign = [p.text for i in part for p in messages[i] if p.foreign]
                    slots = self.model.soft_slots(self.sources(foreign)) if foreign else None
                    prompts = collate([rows[i] for i in part]).to(self.decoder.device)
                    given = self.model.generate(prompts, slots, self.decoder, limit)
                answers.update(zip(part, given, strict=True))
                progress.advance(len(part))
        return [answers[i] for i in range(len(asked))]

    @overload
    def answer(self, instruction: str, text: str) -> str: ...
    @overload
    def answer(self, instruction: str, text: list[str]) -> list[str]: ...
    def answer(self, instruction: str, text: str | list[str]) -> str | list[str]:
        """Follow an English instruction about a foreign text, or about each of several."""
        if isinstance(text, str):
            return self.answer_all([(instruction, text)])[0]
        return self.answer_all([(instruction, one) for one in text])

    @overload
    def translate(self, text: str) -> str: ...
    @overload
    def translate(self, text: list[str]) -> list[str]: ...
    def translate(self, text: str | list[str]) -> str | list[str]:
        """English of a foreign text, or of each of several."""
        return self.answer(TRANSLATE_INSTRUCTION, text)

    def embed(self, texts: Sequence[str], batch_size: int = 64) -> npt.NDArray[np.float32]:
        """Vectors of foreign texts in the decoder's latent space, (n, d_dec), float32:
        comparable with teacher states. One text alone counts as a list of one.

        Raises:
            LlinkError: text in a font's encoding.
        """
        import numpy as np
        import torch

        texts = [texts] if isinstance(texts, str) else texts
        for text in texts:
            require_unicode(text, find(self.language))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                projected = self.model.project(self.sources(texts[start : start + batch_size]))
                parts.append(projected.float().cpu().numpy())
        if not parts:
            return np.zeros((0, self.decoder.dim), np.float32)
        vectors: npt.NDArray[np.float32] = np.concatenate(parts)
        return vectors


def _by_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Places in batches of like length."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def load(
    bundle: str | Path, device: str = "cpu", encoder: str | None = None, decoder: str | None = None
) -> LlinkPipeline:
    """Verify a bundle and put it to work.

    ``encoder`` and ``decoder`` name the models where the bundle's own names don't lead to them here, as
    when it was trained on local directories. The weights must be the ones the bundle was trained on.

    Raises:
        LlinkError: damaged bundle, model not found, or other weights than the bundle's.
    """
    from peft import PeftModel

    from llink_ray.bundles.slot_encoder import SlotEncoder, require_same
    from llink_ray.models.decoder import Decoder
    from llink_ray.models.encoder import Encoder
    from llink_ray.models.llink import LlinkModel
    from llink_ray.models.loading import plainly

    folder = Path(bundle)
    info = read_bundle(folder)
    settings = Settings.model_validate(info.settings)
    over = {"encoder": encoder, "decoder": decoder}
    named = {
        part: getattr(settings, part).model_copy(update={"model": name} if name else {})
        for part, name in over.items()
    }
    settings = settings.model_copy(update=named)
    reader = Encoder.load(settings.encoder, device)
    speaker = Decoder.load(settings.decoder, device)
    require_same(info.language, info.encoder, reader.fingerprint, "encoder")
    require_same(info.language, info.decoder, speaker.fingerprint, "decoder")
    reading = SlotEncoder.load(folder, info, reader.token_dim, settings)
    with plainly():
        adapted = PeftModel.from_pretrained(speaker.model, str(folder / LORA), is_trainable=False)
    model = LlinkModel(adapted, reading.projector, reading.slots).to(device)
    return LlinkPipeline(reader, speaker, model, settings, info.language, info.normalisation, reading.known)


def save_parts(folder: Path, projector: torch.nn.Module, slots: torch.nn.Module, adapted: object) -> None:
    """Write the weights' part of a bundle: projector, slots, adapters."""
    from safetensors.torch import save_file

    from llink_ray.bundles.slot_encoder import PROJECTOR, SLOTS

    for module, name in ((projector, PROJECTOR), (slots, SLOTS)):
        save_file({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}, folder / name)
    adapted.save_pretrained(str(folder / LORA), safe_serialization=True)  # type: ignore[attr-defined]
