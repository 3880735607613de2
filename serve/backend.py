"""What the ingress asks of the models, in this process or through Ray Serve."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from llink_ray.engine import Answer, StreamEvent, TokenLogprob
from llink_ray.errors import LlinkError
from serve.decoder_server import DecoderServer
from serve.encoder_server import EncoderServer
from serve.rpc_types import BundleRef, DecoderStats, EmbeddingBatch, EncodedBatch, Floats, GenerationRequest

T = TypeVar("T", covariant=True)
Wanted = Sequence[tuple[BundleRef, str]]
_TRIES = 5
_PAUSE = 0.2
"""Seconds before the second try; doubled with each."""


class DeploymentResponse(Protocol[T]):
    """What a deployment handle gives back."""

    def __await__(self) -> Generator[Any, None, T]:
        """Its outcome."""

    def cancel(self) -> object:
        """Nobody wants it any more."""


class Overloaded(LlinkError):
    """More is asked at once than the deployments take."""

    exit_code = 1


class Lost(LlinkError):
    """A replica went away, and so did the ones that were asked instead."""

    exit_code = 1


class Backend(Protocol):
    """Every call may raise LlinkError (``QueueFull`` where the decoder's queue is), Overloaded or Lost."""

    async def prepare(self, encoder: str, ref: BundleRef) -> None:
        """Load a bundle's two halves."""

    async def read(self, encoder: str, wanted: Wanted) -> EncodedBatch:
        """Slots of texts."""

    async def project(self, encoder: str, wanted: Wanted) -> EmbeddingBatch:
        """Vectors of foreign texts in the decoder's space."""

    async def vectors(self, encoder: str, texts: Sequence[str]) -> EmbeddingBatch:
        """The encoder's own vectors."""

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        """The decoder's own vectors of English texts, comparable with a bundle's of foreign ones."""

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        """A whole answer and its grounding; asked again elsewhere if a replica goes away."""

    def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """An answer as it comes; asked again elsewhere only while nothing has come."""

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        """See ``DecoderServer.grounding``."""

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        """See ``DecoderServer.prompt_logprobs``."""

    async def load(self) -> DecoderStats:
        """What a decoder replica is at."""


class LocalBackend:
    """The deployments' objects themselves, in this process."""

    def __init__(self, encoder_servers: Mapping[str, EncoderServer], decoder_server: DecoderServer) -> None:
        self.encoder_servers, self.decoder_server = encoder_servers, decoder_server

    async def prepare(self, encoder: str, ref: BundleRef) -> None:
        await self.encoder_servers[encoder].prepare(ref)
        await self.decoder_server.prepare(ref)

    async def read(self, encoder: str, wanted: Wanted) -> EncodedBatch:
        return await self.encoder_servers[encoder].read(wanted)

    async def project(self, encoder: str, wanted: Wanted) -> EmbeddingBatch:
        return await self.encoder_servers[encoder].project(wanted)

    async def vectors(self, encoder: str, texts: Sequence[str]) -> EmbeddingBatch:
        return await self.encoder_servers[encoder].vectors(texts)

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        return await self.decoder_server.teacher_states(texts, ref)

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        return await self.decoder_server.answer(ask)

    def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        return self.decoder_server.stream(ask)

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        return await self.decoder_server.grounding(ask, text)

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        return await self.decoder_server.prompt_logprobs(ask)

    async def load(self) -> DecoderStats:
        return self.decoder_server.load()


class RayBackend:
    """Through deployment handles."""

    def __init__(self, encoder_servers: Mapping[str, Any], decoder_server: Any) -> None:
        self._encoder_servers, self._decoder_server = encoder_servers, decoder_server

    async def prepare(self, encoder: str, ref: BundleRef) -> None:
        await asyncio.gather(
            again(lambda: self._encoder_servers[encoder].prepare.remote(ref)),
            again(lambda: self._decoder_server.prepare.remote(ref)),
        )

    async def read(self, encoder: str, wanted: Wanted) -> EncodedBatch:
        return await again(lambda: self._encoder_servers[encoder].read.remote(wanted))

    async def project(self, encoder: str, wanted: Wanted) -> EmbeddingBatch:
        return await again(lambda: self._encoder_servers[encoder].project.remote(wanted))

    async def vectors(self, encoder: str, texts: Sequence[str]) -> EmbeddingBatch:
        return await again(lambda: self._encoder_servers[encoder].vectors.remote(texts))

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        return await again(lambda: self._decoder_server.teacher_states.remote(texts, ref))

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        return await again(lambda: self._decoder_server.answer.remote(ask))

    async def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        for left in reversed(range(_TRIES)):
            begun = ended = False
            events = self._decoder_server.stream.options(stream=True).remote(ask)
            try:
                async for event in events:
                    begun = True
                    ended = event.finish is not None
                    yield event
                return
            except Exception as error:
                told, ended = explained(error), True
                if begun or not left or not isinstance(told, Lost):
                    raise told from None
            finally:
                if not ended:
                    events.cancel()  # whoever listened has gone: its place in the batch is free at once
            await asyncio.sleep(_pause(left))

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        return await again(lambda: self._decoder_server.grounding.remote(ask, text))

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        return await again(lambda: self._decoder_server.prompt_logprobs.remote(ask))

    async def load(self) -> DecoderStats:
        return await again(lambda: self._decoder_server.load.remote())


async def again(call: Callable[[], DeploymentResponse[T]]) -> T:
    """The outcome of a call; made again, elsewhere, where a replica went away under it.

    Where nobody waits for it any more the replica is told so: Ray lets it work on otherwise.

    Raises:
        LlinkError: as the replica did; Overloaded; Lost.
    """
    for left in reversed(range(_TRIES)):
        calling = call()
        try:
            return await calling
        except asyncio.CancelledError:
            calling.cancel()
            raise
        except Exception as error:
            told = explained(error)
            if not left or not isinstance(told, Lost):
                raise told from None
        await asyncio.sleep(_pause(left))
    raise AssertionError("the last try returns or raises")


def _pause(left: int) -> float:
    return _PAUSE * 2.0 ** (_TRIES - 1 - left) * random.uniform(0.8, 1.2)


def explained(error: Exception) -> Exception:
    """What happened, in our own words where we know it."""
    from grpc.aio import AioRpcError
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        RayActorError,
        RayTaskError,
        WorkerCrashedError,
    )
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    if isinstance(error, BackPressureError):
        return Overloaded("too much is asked at once: try again in a moment")
    # The first has a replica that died and one that cannot be reached under it; what is large and was made
    # by one that died a moment later is an object that is lost.
    gone = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, AioRpcError)
    if isinstance(error, (*gone, DeploymentUnavailableError, ReplicaUnavailableError)):
        return Lost("a replica went away: try again")
    return error
