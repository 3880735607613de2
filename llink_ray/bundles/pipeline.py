"""A bundle ready to answer: what ``llink_ray.load(bundle)`` gives."""

from __future__ import annotations

from collections.abc import Sequence
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
    from llink_ray.models.llink import LlinkModel
    from llink_ray.models.novelty import NoveltyDetector

LORA = "lora"


class LlinkPipeline:
    """Encoder, projector, slots, decoder and adapters of one language.

    Texts are in that language; where ``settings.stage_b.source`` is ``english``, in English. They are first
    brought into the normal form of the training text (``normalisation``, a version of
    :mod:`llink_ray.text.normalisation`). Answers are greedy and do not depend on the rest of the batch.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        model: LlinkModel,
        settings: Settings,
        language: str,
        normalisation: int = VERSION,
        novelty: NoveltyDetector | None = None,
    ) -> None:
        self.encoder, self.decoder, self.settings, self.language = encoder, decoder, settings, language
        self.novelty = novelty
        self.model = model.eval()
        self.normalisation = normalisation

    def normalise(self, text: str) -> str:
        """A text in the normal form of the training text."""
        return normalise(text, self.normalisation)

    def segments(self, text: str) -> list[Segment]:
        """A message in foreign sentences, which become slots, and English ones, which stay text.

        Raises:
            LlinkError: more foreign sentences than ``slots.max_sentences``, or text in a font's encoding.
        """
        require_unicode(text, find(self.language))
        segments = split_message(visible(text), find(self.language), self.settings.slots.max_sentences)
        return self._normalised(segments)

    def _normalised(self, segments: Sequence[Segment]) -> list[Segment]:
        return [Segment(self.normalise(segment.text), segment.foreign) for segment in segments]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The encoder's output for B texts, on the decoder's device."""
        slots, texts = self.settings.slots, [self.normalise(text) for text in texts]
        encoded = self.encoder.encode(texts, with_tokens=slots.reads_tokens)
        return encoded.with_slot_counts(map(slots.slot_count, texts)).to(self.decoder.device)

    def outside(self, texts: Sequence[str]) -> list[bool | None]:
        """Whether each text, read as one sentence, is unlike the training text; answers may be made up then.

        None where the bundle has no record of its training text.
        """
        if self.novelty is None:
            return [None] * len(texts)
        vectors = [self.encoder.encode([self.normalise(text)]).vectors for text in texts]
        return [outside for vector in vectors for outside in self.novelty.outside(vector)]

    def answer_all(
        self,
        questions: Sequence[tuple[str, str | list[Segment]]],
        batch_size: int | None = None,
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Answers to (instruction, message) pairs, in order; a text is split into :meth:`segments` first."""
        import torch

        from llink_ray.models.llink import collate

        evaluation = self.settings.evaluation
        limit = max_new_tokens or evaluation.max_new_tokens
        answers: dict[int, str] = {}
        language = find(self.language)
        messages = [
            self.segments(message) if isinstance(message, str) else self._normalised(message)
            for _, message in questions
        ]
        prompts = [
            self.decoder.prompt_builder.slot_prompt(
                visible(instruction), segments, self.settings.slots, language
            )
            for (instruction, _), segments in zip(questions, messages, strict=True)
        ]
        size = batch_size or evaluation.batch_size
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        with track("answers", "questions", len(prompts)) as progress:
            for batch in (by_length[start : start + size] for start in range(0, len(prompts), size)):
                with torch.inference_mode():
                    foreign = [segment.text for i in batch for segment in messages[i] if segment.foreign]
                    slots = self.model.soft_slots(self.encode(foreign)) if foreign else None
                    padded = collate([prompts[i] for i in batch]).to(self.decoder.device)
                    texts = self.model.generate(padded, slots, self.decoder, limit)
                answers.update(zip(batch, texts, strict=True))
                progress.advance(len(batch))
        return [answers[i] for i in range(len(questions))]

    @overload
    def answer(self, instruction: str, text: str) -> str: ...
    @overload
    def answer(self, instruction: str, text: list[str]) -> list[str]: ...
    def answer(self, instruction: str, text: str | list[str]) -> str | list[str]:
        """Follow an English instruction about a foreign text, or about each of several."""
        if isinstance(text, str):
            return self.answer_all([(instruction, text)])[0]
        return self.answer_all([(instruction, each) for each in text])

    @overload
    def translate(self, text: str) -> str: ...
    @overload
    def translate(self, text: list[str]) -> list[str]: ...
    def translate(self, text: str | list[str]) -> str | list[str]:
        """English of a foreign text, or of each of several."""
        return self.answer(TRANSLATE_INSTRUCTION, text)

    def embed(self, texts: Sequence[str], batch_size: int = 64) -> npt.NDArray[np.float32]:
        """Vectors of n foreign texts in the decoder's latent space, (n, d_dec), float32.

        They are comparable with teacher states. A text alone counts as a list of one.

        Raises:
            LlinkError: text in a font's encoding.
        """
        import numpy as np
        import torch

        texts = [texts] if isinstance(texts, str) else texts
        for text in texts:
            require_unicode(text, find(self.language))
        vectors = [np.zeros((0, self.decoder.dim), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                projected = self.model.project(self.encode(texts[start : start + batch_size]))
                vectors.append(projected.float().cpu().numpy())
        return np.concatenate(vectors)


def load(
    bundle: str | Path, device: str = "cpu", encoder: str | None = None, decoder: str | None = None
) -> LlinkPipeline:
    """Verify and load a bundle.

    ``encoder`` and ``decoder`` name the models where the bundle's own names are not found here, as when it
    was trained on local directories. Their weights must be those that the bundle was trained on.

    Raises:
        LlinkError: damaged bundle, model not found, or other weights than the bundle's.
    """
    from peft import PeftModel

    from llink_ray.bundles.slot_encoder import SlotEncoder, require_same_model
    from llink_ray.models.decoder import Decoder
    from llink_ray.models.encoder import Encoder
    from llink_ray.models.llink import LlinkModel
    from llink_ray.models.loading import quiet_loading

    folder = Path(bundle)
    info = read_bundle(folder)
    settings = Settings.model_validate(info.settings)
    named = {
        part: getattr(settings, part).model_copy(update={"model": name})
        for part, name in (("encoder", encoder), ("decoder", decoder))
        if name
    }
    settings = settings.model_copy(update=named)
    encoder_model = Encoder.load(settings.encoder, device)
    decoder_model = Decoder.load(settings.decoder, device)
    require_same_model(info.language, info.encoder, encoder_model.fingerprint, "encoder")
    require_same_model(info.language, info.decoder, decoder_model.fingerprint, "decoder")
    slot_encoder = SlotEncoder.load(folder, info, encoder_model.token_dim, settings)
    with quiet_loading():
        adapted = PeftModel.from_pretrained(decoder_model.model, str(folder / LORA), is_trainable=False)
    model = LlinkModel(adapted, slot_encoder.projector, slot_encoder.slots).to(device)
    return LlinkPipeline(
        encoder_model,
        decoder_model,
        model,
        settings,
        info.language,
        info.normalisation,
        slot_encoder.novelty,
    )


def save_weights(folder: Path, projector: torch.nn.Module, slots: torch.nn.Module, adapted: object) -> None:
    """Write the weights of a bundle: projector, slots, adapters."""
    from safetensors.torch import save_file

    from llink_ray.bundles.slot_encoder import PROJECTOR, SLOTS

    for module, name in ((projector, PROJECTOR), (slots, SLOTS)):
        save_file({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}, folder / name)
    adapted.save_pretrained(str(folder / LORA), safe_serialization=True)  # type: ignore[attr-defined]
