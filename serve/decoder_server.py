"""The decoder deployment: one base, every language's adapter on it, one running batch; no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from llink_ray.bundles.bundle import BundleInfo
from llink_ray.bundles.pipeline import LORA
from llink_ray.bundles.registry import Registry
from llink_ray.bundles.slot_encoder import TeacherSpace, require_same
from llink_ray.engine import (
    Answer,
    EngineLimits,
    EngineRequest,
    FinishInfo,
    PromptInput,
    StreamEvent,
    TokenLogprob,
)
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.models.decoder import Decoder
from llink_ray.prompts.builder import SLOT_ID
from llink_ray.settings import DecoderSettings
from serve.bundle_cache import BundleCache
from serve.rpc_types import BundleRef, DecoderStats, Floats, GenerationRequest


@dataclass(frozen=True)
class _Loaded:
    """What a bundle gives the decoder."""

    adapter: str
    """Its name in the engine."""
    space: TeacherSpace


class DecoderServer:
    """Answers, token by token or whole."""

    def __init__(
        self, decoder: DecoderSettings, registry: str, limits: EngineLimits | None = None, device: str = "cpu"
    ) -> None:
        self.engine = BatchedEngine(Decoder.load(decoder, device), limits)
        self.engine.start()
        self.bundles: BundleCache[_Loaded] = BundleCache(
            Registry(registry), self._load, lambda ref: self.engine.remove(ref.name)
        )

    def _load(self, ref: BundleRef, folder: Path, info: BundleInfo) -> _Loaded:
        require_same(ref.language, info.decoder, self.engine.decoder.fingerprint, "decoder")
        self.engine.put(ref.name, folder / LORA)
        return _Loaded(ref.name, TeacherSpace.load(folder, info))

    async def prepare(self, ref: BundleRef) -> None:
        """Load a bundle's adapter before anybody asks for it.

        Raises:
            LlinkError: it cannot be used here.
        """
        await self.bundles.get(ref)

    async def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """What is new, until the end; leaving it early frees its place in the batch.

        Raises:
            LlinkError: it cannot be answered here.
            Full: the queue is.
        """
        async with aclosing(aiter(self.engine.submit(await self._request(ask)))) as events:
            async for event in events:
                yield event

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        """The whole answer, and its grounding where that was asked for; see :meth:`grounding`.

        Raises:
            LlinkError: it cannot be answered here.
            Full: the queue is.
        """
        answer = await self._whole(await self._request(ask))
        return answer, await self.grounding(ask, answer.text) if ask.grounding else None

    async def _whole(self, request: EngineRequest) -> Answer:
        """All events at once: this loop is woken at the end alone, and not for each token."""
        loop = asyncio.get_running_loop()
        events: list[StreamEvent] = []
        ended: asyncio.Future[FinishInfo] = loop.create_future()

        def listen(event: StreamEvent) -> None:
            events.append(event)
            if event.finish is not None:
                loop.call_soon_threadsafe(_settle, ended, event.finish)

        handle = self.engine.submit(request, listen)
        try:
            done = await ended
        finally:
            handle.cancel()  # a no-op unless whoever asked has gone
        tokens = tuple(token for event in events for token in event.tokens)
        return Answer("".join(event.text for event in events), tokens, done)

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        """Nats a token by which an answer is likelier with its slots than with zeros in their places.

        None where there are no slots, or nothing was said.
        """
        if ask.slots is None or not text:
            return None
        prompt = (await self._request(ask)).prompt
        assert prompt.slots is not None, "made of slots"
        without = replace(prompt, slots=torch.zeros_like(prompt.slots))
        adapter = ask.adapter.name if ask.adapter else None
        room = self.engine.longest - prompt.length  # an answer that was cut there has none for its end
        answer = self.engine.decoder.prompt.answer(text)[:room]
        with_slots, ablated = await asyncio.to_thread(
            self.engine.score, [prompt, without], answer, [adapter, adapter]
        )
        return ablated - with_slots

    async def expected(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        """The prompt's tokens as the decoder expected them, and the likeliest behind it; see ``Engine.read``.

        Raises:
            LlinkError: it cannot be read here.
        """
        request = await self._request(ask)
        count = ask.sampling.logprobs or 0
        return await asyncio.to_thread(self.engine.read, request.prompt, count, request.adapter)

    async def states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        """(N, d_dec): the decoder's own vectors of English texts, as a bundle's projector compares with them.

        Raises:
            JobFailed: a bundle that cannot be used here any more.
        """
        space = (await self.bundles.used(ref)).space if ref else None
        states = await asyncio.to_thread(self.engine.states, texts, space.teacher if space else None)
        return (space.place(states) if space else states).numpy()

    def load(self) -> DecoderStats:
        """What it is at."""
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
        """Serve asks: a replica whose decoding thread is gone is replaced."""
        if not self.engine.alive:
            raise RuntimeError("the decoding thread has ended")

    async def _request(self, ask: GenerationRequest) -> EngineRequest:
        adapter = (await self.bundles.used(ask.adapter)).adapter if ask.adapter else None
        slots = None
        if ask.slots is not None and SLOT_ID in ask.ids:
            slots = torch.from_numpy(np.array(ask.slots, np.float32))  # (R, d)
        return EngineRequest(PromptInput(ids=ask.ids, slots=slots), adapter, ask.sampling, ask.seconds)


def _settle(ended: asyncio.Future[FinishInfo], done: FinishInfo) -> None:
    if not ended.done():
        ended.set_result(done)
