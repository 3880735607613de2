"""Vectors of texts in any served language, which compare with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llink_ray.bundles.slot_encoder import teacher_reads
from llink_ray.prompts.conversation import ConversationParser, LanguageNotServed
from llink_ray.text.detection import detect
from llink_ray.text.languages import language_of
from llink_ray.text.normalisation import VERSION, normalise
from llink_ray.text.zawgyi import NotUnicode
from serve.rpc_types import EmbeddingBatch, Floats
from serve.service import Notice, Service, text_cut


@dataclass(frozen=True)
class Embedded:
    """Vectors, and how much of each text they stand for."""

    texts: list[str]
    """As they were read: in the form that training had."""

    rows: Floats
    """(N, d)."""
    characters: list[int]
    """Read of each text."""
    tokens: int
    """As text, of what was read."""

    @property
    def notices(self) -> list[Notice]:
        """What was done otherwise than it was asked for."""
        gone = [len(text.rstrip()) - read for text, read in zip(self.texts, self.characters, strict=True)]
        gone = [max(0, one) for one in gone]
        return [text_cut(gone, "inputs")] if any(gone) else []


async def embed(
    service: Service, texts: Sequence[str], model: str, space: str, unit: bool = True
) -> Embedded:
    """Vectors of texts; of length 1 where ``unit`` says so, so that their dot product is their cosine.

    ``projected``: foreign texts as their projector places them in the decoder's space, English ones as the
    decoder itself does, so that they can be compared. ``encoder``: what the encoder says of any text.

    Raises:
        NoSuchModel: nothing of that name.
        NotTaught: a text in a language that nobody taught, with its place.
        NotUnicode: a text in the encoding of a font, with its place.
    """
    if space == "encoder":
        chosen = await service.chosen(model)
        name = chosen.taught[chosen.forced].encoder if chosen.forced else service.encoders[0]
        form = chosen.taught[chosen.forced].info.normalisation if chosen.forced else VERSION
        for place, text in enumerate(texts):
            _refuse_font(text, place)
        texts = [normalise(text, form) for text in texts]
        found = await service.backend.vectors(name, texts)
    else:
        texts, found = await _projected(service, texts, model)
    rows = found.rows
    if unit:
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    read = [text[:most] for text, most in zip(texts, found.characters, strict=True)]
    return Embedded(list(texts), rows, found.characters, sum(len(service.prompt.ids(text)) for text in read))


def _refuse_font(text: str, place: int) -> None:
    """What an encoder says of a font's own letters is about no text."""
    found = detect(text)
    language = language_of(found.code)
    if language and found.script == language.font_encoding:
        error = NotUnicode(language)
        error.index = place
        raise error


async def _projected(service: Service, texts: Sequence[str], model: str) -> tuple[list[str], EmbeddingBatch]:
    """The texts as they are read, and their vectors."""
    chosen = await service.chosen(model)
    known = {code: one.settings.slots for code, one in chosen.taught.items()}
    parser = ConversationParser(known, chosen.forced)
    codes: list[str | None] = []
    for place, text in enumerate(texts):
        try:
            codes.append(parser.main_language(text) if known else None)
        except (LanguageNotServed, NotUnicode) as error:
            error.index = place
            raise
    groups: dict[str | None, list[int]] = {}
    for place, code in enumerate(codes):
        groups.setdefault(chosen.taught[code].encoder if code else None, []).append(place)
    rows: dict[int, Floats] = {}
    characters: dict[int, int] = {}
    # English is placed where the bundle that it is compared with has it; without one, any bundle.
    beside = chosen.forced or next((code for code in codes if code), next(iter(known), None))
    by = [code or beside for code in codes]
    texts = [
        normalise(text, chosen.taught[code].info.normalisation if code else VERSION)
        for text, code in zip(texts, by, strict=True)
    ]
    for encoder, places in groups.items():
        asked = [texts[i] for i in places]
        if encoder is None:
            ref = chosen.taught[beside].ref if beside else None
            most = service.decoder.max_teacher_tokens
            reads = [teacher_reads(service.prompt.tokenizer, text, most) for text in asked]
            found = EmbeddingBatch(await service.backend.states(asked, ref), reads)
        else:
            wanted = [(chosen.taught[code].ref, texts[i]) for i in places if (code := codes[i])]
            found = await service.backend.project(encoder, wanted)
        rows.update(zip(places, found.rows, strict=True))
        characters.update(zip(places, found.characters, strict=True))
    every = range(len(texts))
    return texts, EmbeddingBatch(np.stack([rows[i] for i in every]), [characters[i] for i in every])
