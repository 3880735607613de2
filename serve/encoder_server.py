"""The encoder deployment: texts to slots, one for each encoder; independent of HTTP and the decoder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from cachetools import LRUCache

from llink_ray.bundles.manifest import BundleInfo
from llink_ray.bundles.registry import Registry
from llink_ray.bundles.slot_encoder import SlotEncoder, require_same_model
from llink_ray.errors import LlinkError
from llink_ray.models.encoder import Encoded, Encoder
from llink_ray.settings import EncoderSettings
from serve.batcher import Batcher
from serve.bundle_cache import BundleCache
from serve.rpc_types import BundleRef, EmbeddingBatch, EncodedBatch, EncodedText

BundleText = tuple[BundleRef, str]
"""A text and the bundle that reads it."""
_MAX_BATCH_SIZE = 64
_ENTRY_OVERHEAD = 256
"""Bytes that a cache entry costs beside its slots and its text."""


class EncoderServer:
    """An encoder with the projectors and slots of every language that it reads."""

    def __init__(
        self, encoder: EncoderSettings, registry: str, cache_bytes: int, device: str = "cpu"
    ) -> None:
        self.encoder = Encoder.load(encoder, device)
        self.bundles: BundleCache[SlotEncoder] = BundleCache(Registry(registry), self._load)
        self._cache: LRUCache[BundleText, tuple[str, EncodedText]] = LRUCache(cache_bytes, _entry_bytes)
        self._slots_of = Batcher(self._slots, _MAX_BATCH_SIZE)

    def _load(self, ref: BundleRef, folder: Path, info: BundleInfo) -> SlotEncoder:
        require_same_model(ref.language, info.encoder, self.encoder.fingerprint, "encoder")
        return SlotEncoder.load(folder, info, self.encoder.token_dim)

    async def prepare(self, ref: BundleRef) -> None:
        """Load a bundle before it is first used.

        Raises:
            LlinkError: it cannot be used here.
        """
        await self.bundles.get(ref)

    async def read(self, texts: Sequence[BundleText]) -> EncodedBatch:
        """Slots of texts, each by its own language's bundle; from the cache where they are in it.

        Raises:
            JobFailed: a bundle that cannot be used here any more.
        """
        slot_encoders = {ref: await self.bundles.require(ref) for ref, _ in texts}
        encoded = {key: entry[1] for key in texts if (entry := self._cache.get(key)) is not None}
        hits = sum(key in encoded for key in texts)
        missing = [key for key in dict.fromkeys(texts) if key not in encoded]
        # One forward of the encoder for all requests that come at the same time, in whatever languages.
        results = await asyncio.gather(*(self._slots_of((slot_encoders[ref], text)) for ref, text in missing))
        for key, result in zip(missing, results, strict=True):
            encoded[key] = result
            with suppress(ValueError):  # larger than the whole cache
                self._cache[key] = key[1], result
        return EncodedBatch([encoded[key] for key in texts], hits)

    async def project(self, texts: Sequence[BundleText]) -> EmbeddingBatch:
        """(N, d_dec): vectors of foreign texts, comparable with the decoder's own of English ones.

        Raises:
            JobFailed: a bundle that cannot be used here any more.
        """
        slot_encoders = {ref: await self.bundles.require(ref) for ref, _ in texts}
        plain = [text for _, text in texts]

        def work() -> EmbeddingBatch:
            rows = []
            for start in range(0, len(texts), _MAX_BATCH_SIZE):
                vectors = self.encoder.encode(plain[start : start + _MAX_BATCH_SIZE]).vectors
                for i, (ref, _) in enumerate(texts[start : start + _MAX_BATCH_SIZE]):
                    rows.append(slot_encoders[ref].project(Encoded(vectors[i : i + 1])).numpy())
            return EmbeddingBatch(np.concatenate(rows), self.encoder.characters_read(plain))

        return await asyncio.to_thread(work)

    async def vectors(self, texts: Sequence[str]) -> EmbeddingBatch:
        """(N, d_enc): the encoder's own sentence vectors, of texts in any language."""

        def work() -> EmbeddingBatch:
            rows = []
            for start in range(0, len(texts), _MAX_BATCH_SIZE):
                sentence = self.encoder.encode(list(texts[start : start + _MAX_BATCH_SIZE])).sentence
                assert sentence is not None, "an encoder always gives it"
                rows.append(sentence.numpy())
            return EmbeddingBatch(np.concatenate(rows), self.encoder.characters_read(list(texts)))

        return await asyncio.to_thread(work)

    def _slots(self, items: Sequence[tuple[SlotEncoder, str]]) -> list[EncodedText]:
        """One forward of the encoder, then each bundle's projector and slots on the rows that are its own."""
        texts = [text for _, text in items]
        encoded = self.encoder.encode(texts, with_tokens=True)
        assert encoded.tokens is not None and encoded.mask is not None, "asked for with tokens"
        characters = self.encoder.characters_read(texts)
        results: dict[int, EncodedText] = {}
        for slot_encoder in {slot_encoder for slot_encoder, _ in items}:
            rows = [i for i, (other, _) in enumerate(items) if other is slot_encoder]
            index = torch.tensor(rows)
            own = Encoded(encoded.vectors[index], encoded.tokens[index], encoded.mask[index])
            embeddings = slot_encoder.prompt_rows(own, [texts[i] for i in rows])
            for i, slots, outside in zip(rows, embeddings, slot_encoder.outside(own), strict=True):
                row = np.ascontiguousarray(slots.numpy(), np.float32)
                results[i] = EncodedText(row, outside, characters[i])
        if not all(np.isfinite(result.slots).all() for result in results.values()):
            raise LlinkError("the slots of this text are not numbers: its bundle is damaged, train it again")
        return [results[i] for i in range(len(items))]


def _entry_bytes(entry: tuple[str, EncodedText]) -> int:
    text, encoded = entry
    return encoded.slots.nbytes + 4 * len(text) + _ENTRY_OVERHEAD
