"""Vectors of texts in any served language that compare with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llink_ray.bundles.slot_encoder import count_characters_read
from llink_ray.prompts.conversation import ConversationParser, LanguageNotServed
from llink_ray.text.detection import detect
from llink_ray.text.languages import language_of
from llink_ray.text.normalisation import VERSION, normalise
from llink_ray.text.zawgyi import NotUnicode
from serve.metadata import text_cut
from serve.responses import Notice
from serve.rpc_types import EmbeddingBatch, Floats
from serve.service import ModelSelection, Service


@dataclass(frozen=True)
class EmbeddingResult:
    """Vectors, and how much of each text they stand for."""

    texts: list[str]
    """Normalised as in training."""
    vectors: Floats
    """(N, d)."""
    characters_read: list[int]
    """Of each text."""
    tokens: int
    """Tokens of what was read, by the decoder's tokenizer."""

    @property
    def notices(self) -> list[Notice]:
        """Notice of truncated texts."""
        cut = [
            max(0, len(text.rstrip()) - read)
            for text, read in zip(self.texts, self.characters_read, strict=True)
        ]
        return [text_cut(cut, "inputs")] if any(cut) else []


async def embed(
    service: Service, texts: Sequence[str], model: str, space: str, normalize: bool = True
) -> EmbeddingResult:
    """Vectors of texts, scaled to length 1 if ``normalize``.

    ``projected``: foreign texts by their projector, in the decoder's space, and English ones by the decoder
    itself, so that they compare. ``encoder``: the encoder's own vectors of any text.

    Raises:
        ModelNotFound: no such model.
        LanguageNotServed: a text in a language that has no bundle, with its index.
        NotUnicode: a text in a font's own encoding, with its index.
    """
    selection = await service.select_model(model)
    if space == "encoder":
        texts, batch = await _encoder_vectors(service, texts, selection)
    else:
        texts, batch = await _projected_vectors(service, texts, selection)
    vectors = batch.vectors
    if normalize:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    read = [text[:count] for text, count in zip(texts, batch.characters_read, strict=True)]
    tokens = sum(len(service.prompt_builder.token_ids(text)) for text in read)
    return EmbeddingResult(texts, vectors, batch.characters_read, tokens)


async def _encoder_vectors(
    service: Service, texts: Sequence[str], selection: ModelSelection
) -> tuple[list[str], EmbeddingBatch]:
    served = selection.languages[selection.forced] if selection.forced else None
    for index, text in enumerate(texts):
        detected = detect(text)
        language = language_of(detected.code)
        if language and detected.script == language.font_encoding:  # an encoder knows no font's letters
            error = NotUnicode(language)
            error.index = index
            raise error
    normalised = [normalise(text, served.info.normalisation if served else VERSION) for text in texts]
    encoder = served.encoder if served else service.encoders[0]
    return normalised, await service.backend.vectors(encoder, normalised)


async def _projected_vectors(
    service: Service, texts: Sequence[str], selection: ModelSelection
) -> tuple[list[str], EmbeddingBatch]:
    languages = selection.languages
    parser = ConversationParser(
        {code: served.settings.slots for code, served in languages.items()}, selection.forced
    )
    codes: list[str | None] = []
    for index, text in enumerate(texts):
        try:
            codes.append(parser.main_language(text) if languages else None)
        except (LanguageNotServed, NotUnicode) as error:
            error.index = index
            raise
    # English is projected with the bundle that it is compared with; without one, with any bundle.
    english = selection.forced or next(filter(None, codes), next(iter(languages), None))
    normalised = []
    for text, code in zip(texts, (code or english for code in codes), strict=True):
        normalised.append(normalise(text, languages[code].info.normalisation if code else VERSION))
    by_encoder: dict[str | None, list[int]] = {}
    for index, code in enumerate(codes):
        by_encoder.setdefault(languages[code].encoder if code else None, []).append(index)
    vectors: dict[int, Floats] = {}
    characters_read: dict[int, int] = {}
    for encoder, indices in by_encoder.items():
        if encoder is None:
            group = [normalised[i] for i in indices]
            limit = service.decoder.max_teacher_tokens
            read = [count_characters_read(service.prompt_builder.tokenizer, text, limit) for text in group]
            ref = languages[english].ref if english else None
            batch = EmbeddingBatch(await service.backend.teacher_states(group, ref), read)
        else:
            pairs = [(languages[code].ref, normalised[i]) for i in indices if (code := codes[i])]
            batch = await service.backend.project(encoder, pairs)
        vectors.update(zip(indices, batch.vectors, strict=True))
        characters_read.update(zip(indices, batch.characters_read, strict=True))
    order = range(len(texts))
    stacked = np.stack([vectors[i] for i in order])
    return normalised, EmbeddingBatch(stacked, [characters_read[i] for i in order])
