"""The decoder deployment: one base decoder with every language's adapter; no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from llink_ray.bundles.manifest import BundleInfo
from llink_ray.bundles.pipeline import LORA
from llink_ray.bundles.registry import Registry
from llink_ray.bundles.slot_encoder import TeacherSpace, require_same_model
from llink_ray.engine import Answer, DecoderEngine, EngineRequest, PromptInput, StreamEvent, TokenLogprob
from llink_ray.prompts import SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from serve.bundle_cache import BundleCache
from serve.rpc_types import BundleRef, DecoderStats, Floats, GenerationRequest


class DecoderServer:
    """Bundles and an engine: answers, scores and vectors of English texts.

    Args:
        engine: started here; nothing of it is used but the protocol.
        prompts: of the engine's decoder; tokenizes answers that are scored.
        registry: where bundles are fetched from.
    """

    def __init__(self, engine: DecoderEngine, prompts: PromptBuilder, registry: str) -> None:
        self.engine, self._prompts = engine, prompts
        self.engine.start()
        self.bundles: BundleCache[TeacherSpace] = BundleCache(
            Registry(registry), self._load, lambda ref: self.engine.unload_adapter(ref.name)
        )

    def _load(self, ref: BundleRef, folder: Path, info: BundleInfo) -> TeacherSpace:
        require_same_model(ref.language, info.decoder, self.engine.fingerprint, "decoder")
        self.engine.load_adapter(ref.name, folder / LORA)
        return TeacherSpace.load(folder, info)

    async def prepare(self, ref: BundleRef) -> None:
        """Load a bundle's adapter before anybody asks for it.

        Raises:
            LlinkError: it cannot be used here.
        """
        await self.bundles.get(ref)

    async def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Events until the end; leaving early frees the request's place in the batch.

        Raises:
            LlinkError: it cannot be answered here.
            QueueFull: too many requests wait.
        """
        async with aclosing(aiter(self.engine.submit(await self._request(ask)))) as events:
            async for event in events:
                yield event

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        """The whole answer, and its grounding where requested; see :meth:`grounding`.

        Raises:
            LlinkError: it cannot be answered here.
            QueueFull: too many requests wait.
        """
        answer = await self.engine.submit(await self._request(ask)).wait()
        return answer, await self.grounding(ask, answer.text) if ask.grounding else None

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        """Nats a token by which an answer is likelier with its slots than with zeros in their places.

        None for a prompt without slots and for an empty answer.
        """
        request = await self._request(ask)
        if request.prompt.slots is None or not text:
            return None
        ablated = replace(request.prompt, slots=np.zeros_like(request.prompt.slots))
        room = self.engine.max_model_len - len(ask.ids)  # none for the end, where the answer was cut there
        answer = self._prompts.answer_ids(text)[:room]
        with_slots, without = await asyncio.to_thread(
            self.engine.score, [request.prompt, ablated], answer, [request.adapter] * 2
        )
        return without - with_slots

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        """Log-probabilities of the prompt's tokens; see :meth:`DecoderEngine.prompt_logprobs`.

        Raises:
            LlinkError: it cannot be read here.
        """
        request = await self._request(ask)
        return await asyncio.to_thread(
            self.engine.prompt_logprobs, request.prompt, ask.sampling.logprobs or 0, request.adapter
        )

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        """(N, d_dec): the decoder's own vectors of English texts, as a bundle's projector compares with them.

        Raises:
            JobFailed: a bundle that cannot be used here any more.
        """
        space = await self.bundles.require(ref) if ref else None
        states = await asyncio.to_thread(self.engine.teacher_states, texts, space.teacher if space else None)
        return space.transform(torch.from_numpy(states)).numpy() if space else states

    def load(self) -> DecoderStats:
        """Counters for metrics and scaling."""
        now = self.engine.snapshot()
        return DecoderStats(
            now.running,
            now.waiting,
            now.tokens,
            now.cancels,
            tuple(self.engine.adapters),
            sum(rows * steps for rows, steps in now.batch_sizes.items()),
            sum(now.batch_sizes.values()),
        )

    def check_health(self) -> None:
        """Called by Ray Serve, which replaces a replica whose engine has ended."""
        if not self.engine.alive:
            raise RuntimeError("the decoding thread has ended")

    async def _request(self, ask: GenerationRequest) -> EngineRequest:
        if ask.adapter is not None:
            await self.bundles.require(ask.adapter)
        adapter = ask.adapter.name if ask.adapter else None
        slots = ask.slots if SLOT_ID in ask.ids else None
        return EngineRequest(PromptInput(ask.ids, slots), adapter, ask.sampling, ask.seconds)
