"""The encoder deployment: texts in, slots out. One for each encoder; knows nothing of HTTP or the decoder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from llink_ray.bundles.bundle import BundleInfo
from llink_ray.bundles.registry import Registry
from llink_ray.bundles.slot_encoder import SlotEncoder, require_same
from llink_ray.errors import LlinkError
from llink_ray.models.encoder import Encoded, Encoder
from llink_ray.settings import EncoderSettings
from serve.batcher import Batcher
from serve.bundle_cache import BundleCache
from serve.rpc_types import BundleRef, EmbeddingBatch, EncodedBatch, EncodedText
from serve.slot_cache import SlotCache

_BATCH = 64
"""Texts read together at most."""


class EncoderServer:
    """An encoder with the projectors and slots of every language that it reads."""

    def __init__(
        self, encoder: EncoderSettings, registry: str, cache_bytes: int, device: str = "cpu"
    ) -> None:
        self.encoder = Encoder.load(encoder, device)
        self.cache = SlotCache(cache_bytes)
        self.bundles: BundleCache[SlotEncoder] = BundleCache(Registry(registry), self._load)
        self._slots_of = Batcher(self._slots, _BATCH)

    def _load(self, ref: BundleRef, folder: Path, info: BundleInfo) -> SlotEncoder:
        require_same(ref.language, info.encoder, self.encoder.fingerprint, "encoder")
        return SlotEncoder.load(folder, info, self.encoder.token_dim)

    async def prepare(self, ref: BundleRef) -> None:
        """Load a bundle before anybody asks for it.

        Raises:
            LlinkError: it cannot be used here.
        """
        await self.bundles.get(ref)

    async def read(self, wanted: Sequence[tuple[BundleRef, str]]) -> EncodedBatch:
        """Slots of texts, each by its own language's bundle; from the cache where they are in it.

        Raises:
            JobFailed: a bundle that cannot be used here any more.
        """
        readings = {ref: await self.bundles.used(ref) for ref, _ in wanted}
        found = {one: self.cache.get(*one) for one in wanted}
        missing = [one for one, read in found.items() if read is None]
        hits = sum(found[one] is not None for one in wanted)
        # One forward of the encoder for whoever asks at the same time, in whatever languages.
        made = await asyncio.gather(*(self._slots_of((readings[ref], text)) for ref, text in missing))
        for one, read in zip(missing, made, strict=True):
            self.cache.put(*one, read)
            found[one] = read
        return EncodedBatch([kept for one in wanted if (kept := found[one]) is not None], hits)

    async def project(self, wanted: Sequence[tuple[BundleRef, str]]) -> EmbeddingBatch:
        """(N, d_dec): vectors of texts in the decoder's latent space, comparable with its own of English.

        Raises:
            JobFailed: a bundle that cannot be used here any more.
        """
        readings = {ref: await self.bundles.used(ref) for ref, _ in wanted}

        def work() -> EmbeddingBatch:
            rows = []
            for start in range(0, len(wanted), _BATCH):
                part = wanted[start : start + _BATCH]
                vectors = self.encoder.encode([text for _, text in part]).vectors
                rows += [
                    readings[ref].project(Encoded(vectors[i : i + 1])).numpy()
                    for i, (ref, _) in enumerate(part)
                ]
            return EmbeddingBatch(
                np.concatenate(rows), self.encoder.characters_read([text for _, text in wanted])
            )

        return await asyncio.to_thread(work)

    async def vectors(self, texts: Sequence[str]) -> EmbeddingBatch:
        """(N, d_enc): what the encoder itself says of texts in any language."""

        def work() -> EmbeddingBatch:
            parts = []
            for start in range(0, len(texts), _BATCH):
                sentence = self.encoder.encode(list(texts[start : start + _BATCH])).sentence
                assert sentence is not None, "an encoder always gives it"
                parts.append(sentence.numpy())
            return EmbeddingBatch(np.concatenate(parts), self.encoder.characters_read(list(texts)))

        return await asyncio.to_thread(work)

    def _slots(self, wanted: Sequence[tuple[SlotEncoder, str]]) -> list[EncodedText]:
        texts = [text for _, text in wanted]
        encoded = self.encoder.encode(texts, with_tokens=True)
        characters = self.encoder.characters_read(texts)
        found: dict[int, EncodedText] = {}
        for reading in {reading for reading, _ in wanted}:
            rows = [i for i, (one, _) in enumerate(wanted) if one is reading]
            own = _rows(encoded, rows)
            embeddings = reading.prompt_rows(own, [texts[i] for i in rows])
            for i, slots, outside in zip(rows, embeddings, reading.outside(own), strict=True):
                found[i] = EncodedText(
                    np.ascontiguousarray(slots.numpy(), np.float32), outside, characters[i]
                )
        if not all(np.isfinite(read.slots).all() for read in found.values()):
            raise LlinkError("the slots of this text are not numbers: its bundle is damaged, train it again")
        return [found[i] for i in range(len(wanted))]


def _rows(encoded: Encoded, rows: list[int]) -> Encoded:
    index = torch.tensor(rows)
    assert encoded.tokens is not None and encoded.mask is not None, "asked for with tokens"
    return Encoded(encoded.vectors[index], encoded.tokens[index], encoded.mask[index])
